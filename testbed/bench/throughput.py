"""testbed bench throughput: TCP and UDP through satellite hops, and what a full buffer adds to the round trip."""

from __future__ import annotations

from testbed.bench import streams
from testbed.bench.context import Context
from testbed.bench.inside import call
from testbed.bench.rows import Reference, Row
from testbed.lab.place import Place

_GBPS = 1_000_000_000
_BUFFER = 12_500_000  # 100 ms at 1 Gbit/s
NINE = [
    ("user", 5.0, _GBPS, _BUFFER, "tail"),
    *[("isl", 5.0, 10 * _GBPS, 0, "tail")] * 7,
    ("feeder", 5.0, _GBPS, _BUFFER, "tail"),
]
"""Nine hops of 5 ms: up, seven times from satellite to satellite, down."""

GEO_BPS = 200_000_000
GEO = [("user", 135.0, GEO_BPS, 13_500_000, "tail"), ("feeder", 135.0, _GBPS, _BUFFER, "tail")]
"""270 ms one way; the buffer is what the link carries in a round trip."""

_GEO_WARM_UP_S = 10  # slow start takes some fifteen round trips of 0.54 s

SLOW_BPS, SLOW_BUFFER = 20_000_000, 250_000
_FULL_MS = SLOW_BUFFER * 8e3 / SLOW_BPS
_ETHERNET_SHARE = 1448 / 1514  # TCP payload with timestamps, of a full frame


def run(context: Context) -> list[Row]:
    """At each place that has netem."""
    return [row for place in context.places if context.impaired(place) for row in _at(place, context)]


def _at(place: Place, context: Context) -> list[Row]:
    folder = context.folder / f"throughput-{place}"
    folder.mkdir()
    seconds = 4 if context.quick else 15
    rows: list[Row] = []
    plain = call(streams.plain_throughput, place, folder, hops=NINE, seconds=seconds)["bps"] / 1e6
    for control in ("cubic", "bbr"):
        ours = call(streams.throughput, place, folder, hops=NINE, seconds=seconds, control=control)["bps"] / 1e6
        reference = Reference("Mbit/s, typed by hand with tc", plain)
        rows.append(Row(f"{place}: 9 hops, TCP {control}", ours, "Mbit/s", "higher", 400.0, reference))
    offered = 1.05 * GEO_BPS
    udp = call(streams.datagrams, place, folder, hops=GEO, seconds=float(seconds), offered_bps=offered)["bps"]
    what = f"{place}: GEO 270 ms, 200 Mbit/s"
    rows.append(Row(f"{what}: UDP, share of the rate", udp / GEO_BPS * 100, "%", "higher", 95.0))
    wait_s = _GEO_WARM_UP_S
    tcp = call(streams.throughput, place, folder, hops=GEO, seconds=seconds, control="cubic", warm_up_s=wait_s)
    share = tcp["bps"] / (GEO_BPS * _ETHERNET_SHARE) * 100
    rows.append(Row(f"{what}: TCP cubic, share of what frames can carry", share, "%", "higher", 95.0))
    for drop in ("tail", "head"):
        for control in ("cubic", "bbr"):
            hops = [("user", 10.0, SLOW_BPS, SLOW_BUFFER, drop), ("feeder", 5.0, _GBPS, _BUFFER, "tail")]
            told = call(streams.loaded, place, folder, hops=hops, seconds=max(8, seconds), control=control)
            what = f"{place}: loaded link, {drop} drop, {control}: round trip grows by"
            full = Reference("ms, the buffer at the rate", _FULL_MS)
            grown, median = (told[name] - told["idle_ms"] for name in ("max_ms", "p50_ms"))
            rows.append(Row(f"{what}, at most", grown, "ms", "lower", 1.15 * _FULL_MS, full))
            rows.append(Row(f"{what}, median", median, "ms", "lower"))
    return rows
