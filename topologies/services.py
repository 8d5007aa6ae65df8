"""Declared traffic that topologies share: what a government runs over the network, as plain data.

A flow is {"name", "kind", "src", "dst", "dscp", "rate_pps", "payload_bytes", "start_ns", "stop_ns"}, times within the
plan; `traffic.flows` gives it meaning.
"""

from __future__ import annotations

from typing import Any, Final

Flow = dict[str, Any]

EXPEDITED_FORWARDING: Final = 46
"""DSCP of voice (RFC 3246)."""

BEST_EFFORT: Final = 0
"""DSCP of everything else (RFC 2474)."""

VOICE_PAYLOAD_BYTES: Final = 12 + 160
"""RTP header (RFC 3550) and 20 ms of G.711 at 64 kbit/s (RFC 3551)."""

VOICE_RATE_PPS: Final = 50
"""One packet per 20 ms."""

BULK_PAYLOAD_BYTES: Final = 1_200
"""Assumption: a large packet that still fits every tunnel on an MTU of 1,500."""

QUIET_NS: Final = 500_000_000
"""Assumption: no traffic this close to the plan's start and end, so that every packet sent can arrive."""


def voice(name: str, src: str, dst: str, duration_ns: int) -> Flow:
    """One direction of a G.711-like call."""
    return _flow(name, "voice", src, dst, EXPEDITED_FORWARDING, VOICE_RATE_PPS, VOICE_PAYLOAD_BYTES, duration_ns)


def bulk(name: str, src: str, dst: str, rate_pps: int, duration_ns: int) -> Flow:
    """A steady transfer of large packets, one direction."""
    return _flow(name, "bulk", src, dst, BEST_EFFORT, rate_pps, BULK_PAYLOAD_BYTES, duration_ns)


def government(duration_ns: int, ministry: str, base: str, centre: str, *, light: bool = False) -> tuple[Flow, ...]:
    """A ministry and a naval base talk with their data centre: 350 packets/s in all.

    Few enough for a Python sender in a slow virtual machine; a call each, documents down, surveillance up. `light`: one
    direction of a call and thin transfers, 60 packets/s, which Scapy can build there too.
    """
    if light:
        return (
            voice(f"voice-{ministry}-up", ministry, centre, duration_ns),
            bulk(f"bulk-{ministry}-down", centre, ministry, 5, duration_ns),
            bulk(f"bulk-{base}-up", base, centre, 5, duration_ns),
        )
    return (
        voice(f"voice-{ministry}-up", ministry, centre, duration_ns),
        voice(f"voice-{ministry}-down", centre, ministry, duration_ns),
        voice(f"voice-{base}-up", base, centre, duration_ns),
        voice(f"voice-{base}-down", centre, base, duration_ns),
        bulk(f"bulk-{ministry}-down", centre, ministry, 100, duration_ns),
        bulk(f"bulk-{base}-up", base, centre, 50, duration_ns),
    )


def meeting(duration_ns: int, one: str, other: str) -> tuple[Flow, ...]:
    """Two sites call each other: 100 packets/s in all."""
    return (
        voice(f"call-{one}-{other}", one, other, duration_ns),
        voice(f"call-{other}-{one}", other, one, duration_ns),
    )


def _flow(
    name: str, kind: str, src: str, dst: str, dscp: int, rate_pps: int, payload_bytes: int, duration_ns: int
) -> Flow:
    quiet_ns = min(QUIET_NS, duration_ns // 4)  # a plan of less than two seconds still carries traffic in its middle
    return {
        "name": name,
        "kind": kind,
        "src": src,
        "dst": dst,
        "dscp": dscp,
        "rate_pps": rate_pps,
        "payload_bytes": payload_bytes,
        "start_ns": quiet_ns,
        "stop_ns": duration_ns - quiet_ns,
    }
