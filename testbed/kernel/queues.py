"""The queues of a link end: netem (delay, order) → TBF (bottleneck rate) → prio by DSCP, each band bounded.

A link that is no bottleneck has netem alone. The player changes netem, always with its full state, and TBF's rate; it
never deletes a queue. Layouts: linux/pkt_sched.h.

Bands by DSCP: 1 CS6 and above (probes, network control); 2 EF and VOICE-ADMIT; 3 the assured-forwarding range 8–39;
4 everything else, best effort.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import ceil
from typing import Final, Literal

from testbed.kernel import netlink
from testbed.kernel.filters import classify_by_dscp
from testbed.kernel.netlink import Message

NOMINAL_RATE_BPS: Final = 10_000_000_000
"""netem's own rate: too high to matter (0.1 µs for 128 bytes), there so that netem keeps order when a delay falls."""

MIN_PACKET_BYTES: Final = 64
"""Smallest Ethernet frame, IEEE 802.3: sizes netem's limit, which counts packets in flight."""

LIMIT_MAX: Final = 0xFFFFFFFF
"""netem counts the packets in flight in 32 bits."""

LOSS_MAX: Final = 0xFFFFFFFF
"""netem's unit of loss: this is every packet."""

PRIORITY_BYTES: Final = 65_536
"""Assumption: buffer of each priority band (CS6, EF, AF); best effort has the link's own."""

_NEWQDISC, _DELQDISC, _GETQDISC = 36, 37, 38
_ROOT: Final = 0xFFFFFFFF
_NETEM, _TBF, _PRIO = 0x10000, 0x20000, 0x30000
_BANDS: Final = 4
_TCA_KIND, _TCA_OPTIONS, _TCA_STATS = 1, 2, 3
_NETEM_REORDER, _NETEM_CORRUPT, _NETEM_RATE, _NETEM_LATENCY64, _NETEM_JITTER64, _NETEM_CORR = 3, 4, 6, 10, 11, 1
_TBF_PARMS, _TBF_BURST = 1, 6
_FRAME_BYTES: Final = 1514  # a full Ethernet frame
_LINKLAYER_ETHERNET: Final = 1


@dataclass(frozen=True)
class Impairment:
    """What netem does to a packet: one-way delay in ns, loss 0..1, and how many packets may be in flight."""

    delay_ns: int
    loss: float
    limit: int


@dataclass(frozen=True)
class Bottleneck:
    """What follows netem: the rate in bit/s and the best-effort buffer in bytes.

    drop: which packet a full buffer loses, the one that arrives (tail) or the oldest (head). The head-drop queue
    counts packets, so that its buffer is in full frames.
    """

    rate_bps: int
    buffer_bytes: int
    drop: Literal["tail", "head"] = "tail"


def in_flight_limit(rate_bps: int, delay_ns: int, buffer_bytes: int) -> int:
    """netem's limit in packets: the smallest packets at full rate for the whole delay, and the buffer behind it."""
    packets = ceil(rate_bps * delay_ns / (8e9 * MIN_PACKET_BYTES)) + ceil(buffer_bytes / MIN_PACKET_BYTES) + 1000
    return min(packets, LIMIT_MAX)


def _header(index: int, handle: int, parent: int, info: int = 0) -> bytes:
    return struct.pack("=BxxxiIII", 0, index, handle, parent, info)


def _queue(index: int, handle: int, parent: int, kind: str, options: bytes, flags: int, what: str) -> Message:
    payload = _header(index, handle, parent) + netlink.text(_TCA_KIND, kind)
    if options:
        payload += netlink.attribute(_TCA_OPTIONS, options)
    return netlink.message(_NEWQDISC, flags, payload, f"{kind} of {what}")


def netem_options(impairment: Impairment) -> bytes:
    """The full state: `change` overwrites what it names and keeps the rest, so everything is named."""
    loss = min(round(impairment.loss * LOSS_MAX), LOSS_MAX)
    return (
        struct.pack("=IIIIII", 0, impairment.limit, loss, 0, 0, 0)
        + netlink.attribute(_NETEM_CORR, struct.pack("=III", 0, 0, 0))
        + netlink.attribute(_NETEM_REORDER, struct.pack("=II", 0, 0))
        + netlink.attribute(_NETEM_CORRUPT, struct.pack("=II", 0, 0))
        + netlink.attribute(_NETEM_RATE, struct.pack("=IiIi", NOMINAL_RATE_BPS // 8, 0, 0, 0))
        + netlink.attribute(_NETEM_LATENCY64, struct.pack("=q", impairment.delay_ns))
        + netlink.attribute(_NETEM_JITTER64, struct.pack("=q", 0))
    )


def add_netem(index: int, impairment: Impairment, what: str) -> Message:
    """netem alone, where there was no queue."""
    flags = netlink.CREATE | netlink.EXCLUSIVE
    return _queue(index, _NETEM, _ROOT, "netem", netem_options(impairment), flags, what)


def change_netem(index: int, impairment: Impairment, what: str) -> Message:
    """Set the delay and loss of a link end; the kernel answers by an echo with what it now holds."""
    flags = netlink.REPLACE | netlink.ECHO
    return _queue(index, _NETEM, _ROOT, "netem", netem_options(impairment), flags, what)


def build(index: int, impairment: Impairment, bottleneck: Bottleneck | None, what: str) -> list[Message]:
    """All the queues of a link end, in the order in which they must be made; without a bottleneck, netem alone."""
    netem = add_netem(index, impairment, what)
    if bottleneck is None:
        return [netem]
    flags = netlink.CREATE | netlink.EXCLUSIVE
    prio = struct.pack("=i16B", _BANDS, *[_BANDS - 1] * 16)
    fifos = [("bfifo", PRIORITY_BYTES)] * (_BANDS - 1)
    if bottleneck.drop == "tail":
        fifos.append(("bfifo", bottleneck.buffer_bytes))
    else:
        fifos.append(("pfifo_head_drop", max(1, bottleneck.buffer_bytes // _FRAME_BYTES)))
    return [
        netem,
        _queue(index, _TBF, _NETEM | 1, "tbf", _tbf_options(bottleneck), flags, what),
        _queue(index, _PRIO, _TBF | 1, "prio", prio, flags, what),
        *(
            _queue(index, _PRIO + (band << 16), _PRIO | band, kind, struct.pack("=I", size), flags, what)
            for band, (kind, size) in enumerate(fifos, 1)
        ),
        classify_by_dscp(index, _PRIO, what),
    ]


def remove(index: int, what: str) -> Message:
    """Remove all queues of an interface, with what waits in them."""
    return netlink.message(_DELQDISC, 0, _header(index, 0, _ROOT), f"removal of the queues of {what}")


def add_bottleneck(index: int, bottleneck: Bottleneck, what: str) -> Message:
    """TBF at the root, without netem: where a kernel has none, and only a rate is wanted."""
    return _queue(index, _TBF, _ROOT, "tbf", _tbf_options(bottleneck), netlink.CREATE | netlink.EXCLUSIVE, what)


def change_bottleneck(index: int, bottleneck: Bottleneck, what: str) -> Message:
    """Set the rate of a TBF at the root."""
    return _queue(index, _TBF, _ROOT, "tbf", _tbf_options(bottleneck), netlink.REPLACE, what)


def change_rate(index: int, bottleneck: Bottleneck, what: str) -> Message:
    """Set the bottleneck's rate; what waits in its buffers stays there. Not for a link that was built without one."""
    return _queue(index, _TBF, _NETEM | 1, "tbf", _tbf_options(bottleneck), netlink.REPLACE, what)


def _tbf_options(bottleneck: Bottleneck) -> bytes:
    burst = max(2 * _FRAME_BYTES, bottleneck.rate_bps // 8000)  # a millisecond at the rate, at least two full frames
    rate = bottleneck.rate_bps // 8
    spec = struct.pack("=BBHhHI", 0, _LINKLAYER_ETHERNET, 0, 0, 0, rate)
    options = netlink.attribute(_TBF_PARMS, spec + bytes(12) + struct.pack("=III", bottleneck.buffer_bytes, 0, 0))
    return options + netlink.u32(_TBF_BURST, burst)


def held_netem(index: int, what: str) -> Message:
    """Ask for the root queue of an interface; the echo is for `parse_netem`. No queue, no echo."""
    payload = _header(index, 0, _ROOT)
    return netlink.message(_GETQDISC, netlink.ECHO, payload, f"netem of {what}")


def held_rate(index: int, what: str) -> Message:
    """Ask for the bottleneck of a link end; the echo is for `parse_rate`. No bottleneck, KernelError."""
    payload = _header(index, _TBF, 0)
    return netlink.message(_GETQDISC, netlink.ECHO, payload, f"tbf of {what}")


def parse_rate(answer: bytes) -> int | None:
    """The bottleneck's rate in bit/s, from an echo, in netlink's whole bytes per second; None if it is no TBF."""
    attributes = netlink.parse_attributes(answer[20:])
    if attributes.get(_TCA_KIND) != b"tbf\0":
        return None
    options = netlink.parse_attributes(attributes[_TCA_OPTIONS])
    (rate,) = struct.unpack_from("=I", options[_TBF_PARMS], 8)
    return 8 * int(rate)


def parse_drops(answer: bytes) -> int:
    """How many packets a root queue has dropped, with all that is below it, from an echo."""
    statistics = netlink.parse_attributes(answer[20:])[_TCA_STATS]
    _, _, drops = struct.unpack_from("=QII", statistics)  # struct tc_stats
    return int(drops)


def parse_netem(answer: bytes) -> tuple[int, Impairment | None]:
    """Interface index and what its netem holds, from an echo; None if the queue is not netem."""
    _, index, _, _, _ = struct.unpack_from("=BxxxiIII", answer)
    attributes = netlink.parse_attributes(answer[20:])
    if attributes.get(_TCA_KIND) != b"netem\0":
        return index, None
    options = attributes[_TCA_OPTIONS]
    _, limit, loss, _, _, _ = struct.unpack_from("=IIIIII", options)
    (delay_ns,) = struct.unpack("=q", netlink.parse_attributes(options[24:])[_NETEM_LATENCY64])
    return index, Impairment(delay_ns, loss / LOSS_MAX, limit)
