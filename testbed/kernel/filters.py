"""Traffic-control filters: DSCP to priority band, a receiving end that is dark, packets diverted from forwarding.

Layouts: linux/pkt_cls.h, linux/tc_act/tc_gact.h, linux/filter.h.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from testbed.kernel import netlink
from testbed.kernel.netlink import Message

_NEWQDISC, _NEWTFILTER, _DELTFILTER = 36, 44, 45
_INGRESS_PARENT: Final = 0xFFFFFFF1
_INGRESS: Final = 0xFFFF0000
_ETH_P_ALL, _ETH_P_IP = 0x0003, 0x0800
_TCA_KIND, _TCA_OPTIONS = 1, 2
_BPF_OPS_LEN, _BPF_OPS = 4, 5
_MATCHALL_ACT, _U32_SEL, _U32_ACT, _U32_TERMINAL, _BPF_ACT = 2, 5, 7, 1, 1
_ACT_KIND, _ACT_OPTIONS, _GACT_PARMS, _ACT_SHOT = 1, 2, 2, 2
_DARK, _DARK_BY_HAND, _DIVERT, _DIVERT_BY = 1, 2, 3, 4  # priorities of the ingress filters

# Classic BPF operations (linux/bpf_common.h)
_LOAD_HALF, _LOAD_BYTE, _SHIFT_RIGHT, _AND = 0x28, 0x30, 0x74, 0x54
_JUMP, _IF_EQUAL, _IF_ABOVE, _RETURN = 0x05, 0x15, 0x25, 0x06

# label, operation, operand, label if true, label if false ("" is the next row)
_Row = tuple[str, int, int, str, str]
_DSCP_TO_BAND: Final[Sequence[_Row]] = (
    ("", _LOAD_HALF, 12, "", ""),  # EtherType
    ("", _IF_EQUAL, 0x0800, "ipv4", ""),
    ("", _IF_EQUAL, 0x86DD, "ipv6", "best effort"),
    ("ipv4", _LOAD_BYTE, 15, "", ""),  # type of service
    ("", _JUMP, 0, "dscp", ""),
    ("ipv6", _LOAD_HALF, 14, "", ""),  # version, traffic class, start of the flow label
    ("", _SHIFT_RIGHT, 4, "", ""),
    ("", _AND, 0xFF, "", ""),
    ("dscp", _SHIFT_RIGHT, 2, "", ""),
    ("", _IF_ABOVE, 47, "control", ""),  # CS6, CS7
    ("", _IF_EQUAL, 46, "expedited", ""),  # EF
    ("", _IF_EQUAL, 44, "expedited", ""),  # VOICE-ADMIT
    ("", _IF_ABOVE, 39, "best effort", ""),
    ("", _IF_ABOVE, 7, "assured", "best effort"),  # CS1, AF1x … AF4x
    ("control", _RETURN, 1, "", ""),
    ("expedited", _RETURN, 2, "", ""),
    ("assured", _RETURN, 3, "", ""),
    ("best effort", _RETURN, 4, "", ""),
)


def _assemble(rows: Sequence[_Row], queue: int) -> bytes:
    """sock_filter structures; a returned band becomes that class of `queue`."""
    places = {label: number for number, (label, *_) in enumerate(rows) if label}
    code = b""
    for number, (_, operation, operand, if_true, if_false) in enumerate(rows):
        forward = [places[label] - number - 1 if label else 0 for label in (if_true, if_false)]
        if operation == _JUMP:
            operand, forward = forward[0], [0, 0]
        elif operation == _RETURN:
            operand |= queue
        code += struct.pack("=HBBI", operation, *forward, operand)
    return code


def classify_by_dscp(index: int, queue: int, what: str) -> Message:
    """Put each packet that leaves interface `index` into the band of prio queue `queue` that its DSCP asks for."""
    length = netlink.attribute(_BPF_OPS_LEN, struct.pack("=H", len(_DSCP_TO_BAND)))
    options = length + netlink.attribute(_BPF_OPS, _assemble(_DSCP_TO_BAND, queue))
    return _filter(index, queue, 1, _ETH_P_ALL, "bpf", options, what)


def ingress(index: int, what: str) -> Message:
    """Make room for filters on what interface `index` receives; where there is room already, nothing happens.

    Beforehand where it can be: making it, the kernel restarts the interface's queues, and what is in flight there is
    lost (dev_deactivate in qdisc_graft, Linux 6.1).
    """
    payload = struct.pack("=BxxxiIII", 0, index, _INGRESS, _INGRESS_PARENT, 0) + netlink.text(_TCA_KIND, "ingress")
    return netlink.message(_NEWQDISC, netlink.CREATE | netlink.REPLACE, payload, f"ingress of {what}")


def darken(index: int, what: str, *, by_hand: bool = False) -> Message:
    """From now on nothing that arrives at interface `index` gets in: packets in flight are lost. `ingress` comes first.

    `by_hand`: beside the plan's own darkness, of which it knows nothing.
    """
    options = netlink.nested(_MATCHALL_ACT, _drop())
    return _filter(index, _INGRESS, _DARK_BY_HAND if by_hand else _DARK, _ETH_P_ALL, "matchall", options, what)


def relight(index: int, what: str, *, by_hand: bool = False) -> Message:
    """Undo `darken`."""
    header = _filter_header(index, _INGRESS, _DARK_BY_HAND if by_hand else _DARK, _ETH_P_ALL)
    payload = header + netlink.text(_TCA_KIND, "matchall")
    return netlink.message(_DELTFILTER, 0, payload, f"relighting of {what}")


def divert(index: int, words: Sequence[tuple[int, int, int]], what: str) -> Message:
    """Keep the IPv4 packets that match from being forwarded: what an on-path attacker takes in its hands.

    `words`: 32-bit words of the packet that must all match, each (offset in bytes, mask, value). A packet tap on the
    interface still sees the packets.
    """
    keys = [struct.pack("!II", mask, value & mask) + struct.pack("=ii", offset, 0) for offset, mask, value in words]
    selector = struct.pack("=BBBxHHhhI", _U32_TERMINAL, 0, len(keys), 0, 0, 0, 0, 0) + b"".join(keys)
    options = netlink.attribute(_U32_SEL, selector) + netlink.nested(_U32_ACT, _drop())
    return _filter(index, _INGRESS, _DIVERT, _ETH_P_IP, "u32", options, what)


def undivert(index: int, what: str) -> Message:
    """Undo every `divert` at an interface."""
    payload = _filter_header(index, _INGRESS, _DIVERT, _ETH_P_IP) + netlink.text(_TCA_KIND, "u32")
    return netlink.message(_DELTFILTER, 0, payload, f"end of the diversion of {what}")


def divert_by(index: int, program: bytes, what: str) -> Message:
    """As `divert`, where a classic BPF program (struct sock_filter) gives all ones for a frame; 0 leaves it alone."""
    length = netlink.attribute(_BPF_OPS_LEN, struct.pack("=H", len(program) // 8))
    options = length + netlink.attribute(_BPF_OPS, program) + netlink.nested(_BPF_ACT, _drop())
    return _filter(index, _INGRESS, _DIVERT_BY, _ETH_P_IP, "bpf", options, what)


def undivert_by(index: int, what: str) -> Message:
    """Undo `divert_by`."""
    payload = _filter_header(index, _INGRESS, _DIVERT_BY, _ETH_P_IP) + netlink.text(_TCA_KIND, "bpf")
    return netlink.message(_DELTFILTER, 0, payload, f"end of the diversion of {what}")


def _drop() -> bytes:
    """One action, 'gact drop', in the first place of an action list."""
    parameters = netlink.attribute(_GACT_PARMS, struct.pack("=IIiii", 0, 0, _ACT_SHOT, 0, 0))
    return netlink.nested(1, netlink.text(_ACT_KIND, "gact"), netlink.nested(_ACT_OPTIONS, parameters))


def _filter_header(index: int, parent: int, priority: int, protocol: int) -> bytes:
    info = (priority << 16) | int.from_bytes(struct.pack("!H", protocol), "little")
    return struct.pack("=BxxxiIII", 0, index, 0, parent, info)


def _filter(index: int, parent: int, priority: int, protocol: int, kind: str, options: bytes, what: str) -> Message:
    payload = _filter_header(index, parent, priority, protocol)
    payload += netlink.text(_TCA_KIND, kind) + netlink.attribute(_TCA_OPTIONS, options)
    return netlink.message(_NEWTFILTER, netlink.CREATE | netlink.EXCLUSIVE, payload, f"{kind} filter of {what}")
