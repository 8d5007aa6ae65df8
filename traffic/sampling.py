"""A tap beside services over TCP: the kernel shows it few of their frames, and all others.

A page or a transfer brings thousands of frames a second, of which a receiver in Python would lose some and with
them the flows' own. Classic BPF on the tap picks a random share (Linux, Documentation/networking/filter.rst).
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Collection, Sequence
from typing import Final

from traffic.packets import TCP, UDP
from traffic.timestamps import SO_ATTACH_FILTER

SHARE: Final = 64
"""Of a service's frames one in so many is shown, by chance; a power of two."""

_LOAD_HALF, _LOAD_BYTE, _LOAD_WORD = 0x28, 0x30, 0x20  # of the frame, at a place
_LOAD_HALF_BEHIND: Final = 0x48  # at a place behind X
_LOAD_HEADER_LENGTH: Final = 0xB1  # X = 4 × (the byte's low half): IPv4's header length
_LOAD_X: Final = 0x01
_EQUAL, _ANY_OF, _AND, _RETURN = 0x15, 0x45, 0x54, 0x06
_RANDOM: Final = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM, linux/filter.h
_ALL: Final = 0x40000  # bytes of a frame: more than any has
_ETHERTYPE_IPV4: Final = 0x0800
_ETHERTYPE_IPV6: Final = 0x86DD
_ACCEPT, _SAMPLE = -1, -2  # where to skip to: names that `_program` puts a distance for
_INSTRUCTION: Final = struct.Struct("=HBBI")  # struct sock_filter


def thin(tap: socket.socket, ports: Collection[int]) -> None:
    """From now on show a tap one in SHARE of the frames of TCP and UDP to or from these ports, 100 at most."""
    if not ports:
        return
    code = b"".join(_INSTRUCTION.pack(*instruction) for instruction in _program(sorted(ports)))
    buffer = ctypes.create_string_buffer(code, len(code))
    count = len(code) // _INSTRUCTION.size
    tap.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", count, ctypes.addressof(buffer)))


def _program(ports: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """Instructions: code, how many to skip if true and if false, operand.

    IPv4's and IPv6's places of the ports end up in X, counted from the Ethernet header's end, and share the rest.
    """
    head = [
        (_LOAD_HALF, 0, 0, 12),
        (_EQUAL, 0, 8, _ETHERTYPE_IPV4),  # else to IPv6
        (_LOAD_BYTE, 0, 0, 23),
        (_EQUAL, 1, 0, TCP),
        (_EQUAL, 0, _ACCEPT, UDP),
        (_LOAD_HALF, 0, 0, 20),
        (_ANY_OF, _ACCEPT, 0, 0x1FFF),  # a later fragment: no ports
        (_LOAD_HEADER_LENGTH, 0, 0, 14),
        (_LOAD_HALF, 0, 0, 12),  # anew: it leads past IPv6's part
        (_EQUAL, 5, 0, _ETHERTYPE_IPV4),
        (_EQUAL, 0, _ACCEPT, _ETHERTYPE_IPV6),
        (_LOAD_BYTE, 0, 0, 20),
        (_EQUAL, 1, 0, TCP),
        (_EQUAL, 0, _ACCEPT, UDP),  # extension headers too: such are shown
        (_LOAD_X, 0, 0, 40),
    ]
    body = []
    for place in (14, 16):  # source port, destination port
        body.append((_LOAD_HALF_BEHIND, 0, 0, place))
        body += [(_EQUAL, _SAMPLE, 0, port) for port in ports]
    accept = len(head) + len(body)
    tail = [
        (_RETURN, 0, 0, _ALL),
        (_LOAD_WORD, 0, 0, _RANDOM),
        (_AND, 0, 0, SHARE - 1),
        (_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _ALL),
        (_RETURN, 0, 0, 0),
    ]
    places = {_ACCEPT: accept, _SAMPLE: accept + 1}
    program = []
    for number, (code, true, false, operand) in enumerate(head + body + tail):
        skips = [places[skip] - number - 1 if skip in places else skip for skip in (true, false)]
        program.append((code, skips[0], skips[1], operand))
    return program
