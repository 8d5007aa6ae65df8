"""testbed bench traffic: what encryption costs, in packets per second of processor time, beside Scapy's own ESP.

And how far apart the kernel's stamps of a packet are, beside ping."""

from __future__ import annotations

from typing import Final

from testbed.bench import secured, stamped
from testbed.bench.context import Context
from testbed.bench.inside import call
from testbed.bench.rows import Reference, Row
from testbed.lab.place import Place

_WHAT: Final = {
    "encrypt": "encrypt",
    "chacha": "encrypt, ChaCha20-Poly1305",
    "send": "encrypt and send",
    "verify": "receive, decrypt, ESN, window, padding",
    "session_send": "encrypt and send as a session does",
    "session_judge": "receive with stamps and judge as a session does",
}
_SCAPY: Final = {name: f"scapy_{name}" for name in ("encrypt", "send", "verify", "session_send")}
_TARGETS: Final = {"send": 120_000.0, "verify": 200_000.0}
"""Natively; in the guest the cipher has no help from the processor."""

_STAMPS: Final = {"p50": 20.0, "p99": 100.0}
"""us from TX_SCHED to RX on a bare veth, natively: less than the audit allows for one hop."""

_PACKETS, _FEW_PACKETS = 20_000, 4_000
_STAMPED: Final = 2_000


def run(context: Context) -> list[Row]:
    """At each place; the targets hold natively."""
    return [row for place in context.places for row in _at(place, context)]


def _at(place: Place, context: Context) -> list[Row]:
    folder = context.folder / f"traffic-{place}"
    folder.mkdir()
    native = place == "native"
    told = call(secured.rates, place, folder, packets=_PACKETS if native and not context.quick else _FEW_PACKETS)
    rows = []
    for name, what in _WHAT.items():
        reference = Reference("/s, Scapy", told[_SCAPY[name]]) if name in _SCAPY else None
        target = _TARGETS.get(name) if native else None
        rows.append(Row(f"{place}: {what}", told[name], "packets/CPU s", "higher", target, reference))
    between = call(stamped.latency, place, folder, packets=_STAMPED if not context.quick else _STAMPED // 10)
    for name, target in _STAMPS.items():
        ping = Reference("us, half of ping's median", between["ping"])
        what = f"{place}: send stamp to receive stamp over a veth, {name}"
        rows.append(Row(what, between[name], "us", "lower", target if native else None, ping))
    return rows
