"""testbed bench traffic: what encryption costs, in packets per second of processor time, beside Scapy's own ESP."""

from __future__ import annotations

from typing import Final

from testbed.bench import secured
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

_PACKETS, _FEW_PACKETS = 20_000, 4_000


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
    return rows
