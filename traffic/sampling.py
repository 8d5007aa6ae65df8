"""A tap beside services over TCP: the kernel shows it few of their frames, and all others.

A page or a transfer brings thousands of frames a second, of which a receiver in Python would lose some and with
them the flows' own. Classic BPF on the tap picks a random share (Linux, Documentation/networking/filter.rst).
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Collection
from typing import Final

from traffic.packets import TCP, UDP
from traffic.timestamps import SO_ATTACH_FILTER

SHARE: Final = 64
"""Of a service's frames one in so many is shown, by chance; a power of two."""

_LOAD_HALF, _LOAD_BYTE, _LOAD_WORD = 0x28, 0x30, 0x20  # of the frame, at a place
_LOAD_HALF_BEHIND: Final = 0x48  # at a place behind X
_LOAD_HEADER_LENGTH: Final = 0xB1  # X = 4 × (the byte's low half): IPv4's header length
_EQUAL, _ANY_OF, _AND, _RETURN = 0x15, 0x45, 0x54, 0x06
_RANDOM: Final = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM, linux/filter.h
_ALL: Final = 0x40000  # bytes of a frame: more than any has
_ETHERTYPE_IPV4: Final = 0x0800
_INSTRUCTION: Final = struct.Struct("=HBBI")  # struct sock_filter


def thin(tap: socket.socket, ports: Collection[int]) -> None:
    """From now on show a tap one in SHARE of the IPv4 frames of TCP and UDP to or from these ports."""
    listed = sorted(ports)
    if not listed:
        return
    count = len(listed)
    accept = 8 + 2 * (1 + count)  # number of the instruction that lets a frame through
    sample = accept + 1
    program = [
        (_LOAD_HALF, 0, 0, 12),
        (_EQUAL, 0, accept - 2, _ETHERTYPE_IPV4),
        (_LOAD_BYTE, 0, 0, 23),
        (_EQUAL, 1, 0, TCP),
        (_EQUAL, 0, accept - 5, UDP),
        (_LOAD_HALF, 0, 0, 20),
        (_ANY_OF, accept - 7, 0, 0x1FFF),  # a later fragment: no ports
        (_LOAD_HEADER_LENGTH, 0, 0, 14),
    ]
    for place in (14, 16):  # source port, destination port
        program.append((_LOAD_HALF_BEHIND, 0, 0, place))
        program += [(_EQUAL, sample - (len(program) + number + 1), 0, port) for number, port in enumerate(listed)]
    program += [
        (_RETURN, 0, 0, _ALL),
        (_LOAD_WORD, 0, 0, _RANDOM),
        (_AND, 0, 0, SHARE - 1),
        (_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _ALL),
        (_RETURN, 0, 0, 0),
    ]
    code = b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    tap.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(buffer)))
