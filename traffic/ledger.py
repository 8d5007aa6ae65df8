"""The ledger: which ESP packets passed which point of the network and when. Ground truth, which no endpoint has.

A packet is known by a keyed digest of its ESP bytes, from the SPI to the ICV: addresses, ports and TTL may change on
the way, as NAT and routers have it. Points are taps, each on what arrives at one interface: what enters the network is
seen where its host's router receives it, what leaves it at the host for which it is.
"""

from __future__ import annotations

import ctypes
import enum
import json
import os
import secrets
import select
import socket
import struct
import time
from array import array
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from traffic.packets import ETHERNET_BYTES, NAT_T_PORT, UDP_BYTES
from traffic.timestamps import NO_STAMP, SO_ATTACH_FILTER, receive, tap_statistics

ROWS_FILE: Final = "ledger.npy"
POINTS_FILE: Final = "ledger.json"

LEDGER_DTYPE: Final = np.dtype(
    [
        ("point", "<i4"),  # index into the points of ledger.json
        ("time_ns", "<i8"),  # schedule time of arrival there
        ("spi", "<u4"),
        ("sequence", "<u4"),  # what is written in the packet: the lower 32 bits
        ("digest", "<u8"),
    ]
)

_DIGEST_BYTES: Final = 8  # two packets of 10⁷ share one with a probability of 3e-6
_IDLE_S: Final = 0.05
_BATCH: Final = 256
_NICENESS: Final = 5  # the kernel has stamped and kept the packets: whoever sends goes first
_IPV6_BYTES: Final = 40

_LOAD_HALF, _LOAD_BYTE, _LOAD_HALF_AT, _LOAD_HEADER = 0x28, 0x30, 0x48, 0xB1  # linux/bpf_common.h
_IF_EQUAL, _IF_SET, _RETURN = 0x15, 0x45, 0x06
_FILTER: Final = (  # operation, steps if true, steps if false, operand: UDP from or to port 4500, no fragments
    (_LOAD_HALF, 0, 0, 12),
    (_IF_EQUAL, 0, 9, 0x0800),
    (_LOAD_BYTE, 0, 0, 23),
    (_IF_EQUAL, 0, 15, 17),
    (_LOAD_HALF, 0, 0, 20),
    (_IF_SET, 13, 0, 0x3FFF),
    (_LOAD_HEADER, 0, 0, 14),
    (_LOAD_HALF_AT, 0, 0, 14),
    (_IF_EQUAL, 9, 0, NAT_T_PORT),
    (_LOAD_HALF_AT, 0, 0, 16),
    (_IF_EQUAL, 7, 8, NAT_T_PORT),
    (_IF_EQUAL, 0, 7, 0x86DD),
    (_LOAD_BYTE, 0, 0, 20),
    (_IF_EQUAL, 0, 5, 17),
    (_LOAD_HALF, 0, 0, 54),
    (_IF_EQUAL, 2, 0, NAT_T_PORT),
    (_LOAD_HALF, 0, 0, 56),
    (_IF_EQUAL, 0, 1, NAT_T_PORT),
    (_RETURN, 0, 0, 0xFFFF),
    (_RETURN, 0, 0, 0),
)


class Kind(enum.IntEnum):
    """What the network did to a packet."""

    CARRIED = 0
    """In once, out once."""
    MISSING = 1
    """In, and never out: lost, or taken out. `point`: where it was seen last."""
    REPLACED = 2
    """In and never out, but another packet of its number came: see TAMPERED."""
    DUPLICATED = 3
    """Out more often than in."""
    TAMPERED = 4
    """Never in, but a packet with its SPI and number was. `point`: where it was first seen."""
    INJECTED = 5
    """Never in, nor was its number. `point`: where it was first seen."""


TRUTH_DTYPE: Final = np.dtype(
    [
        ("kind", "u1"),
        ("spi", "<u4"),
        ("sequence", "<u4"),
        ("point", "<i4"),
        ("time_ns", "<i8"),  # first seen
        ("entrance", "<i4"),  # point at which it went in first; -1: never
        ("exit", "<i4"),  # and came out first
        ("transit_ns", "<i8"),  # from first in to first out; -1 for what was not both
        ("inside", "<i4"),  # how often it went in
        ("outside", "<i4"),  # how often it came out
    ]
)


def listen_for_esp(tap: socket.socket) -> None:
    """Let a tap receive nothing but UDP from or to port 4500, decided in the kernel, and forget what it has."""
    program = b"".join(struct.pack("=HBBI", operation, yes, no, operand) for operation, yes, no, operand in _FILTER)
    held = ctypes.create_string_buffer(program, len(program))
    pointer = struct.pack("@HP", len(_FILTER), ctypes.addressof(held))
    tap.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, pointer)
    while receive(tap, most=_BATCH):
        pass
    tap_statistics(tap)


def esp_of(frame: bytes) -> bytes | None:
    """The ESP packet in a frame with UDP of port 4500; None for what is no ESP or too short to have a number."""
    if frame[12:14] == b"\x86\xdd":
        begin = ETHERNET_BYTES + _IPV6_BYTES
        end = begin + int.from_bytes(frame[18:20], "big")
    else:
        begin = ETHERNET_BYTES + 4 * (frame[14] & 15)
        end = ETHERNET_BYTES + int.from_bytes(frame[16:18], "big")
    esp = frame[begin + UDP_BYTES : end]
    return esp if len(esp) >= 8 and esp[:4] != bytes(4) else None


@dataclass(frozen=True)
class Points:
    """Taps by name, which `listen_for_esp` has prepared. `entrances`, `exits`: names of those at the network's edge."""

    taps: Mapping[str, socket.socket]
    entrances: Collection[str]
    exits: Collection[str]


def keep_ledger(points: Points, start_realtime_ns: int, end_ns: int, folder: Path) -> None:
    """Write down what passes until schedule time `end_ns`; then ROWS_FILE and POINTS_FILE are in `folder`.

    The key of the digests is made here and thrown away: who has the ledger cannot look for a packet of his own.
    """
    os.nice(_NICENESS)
    key, spent_s = secrets.token_bytes(16), time.thread_time()
    names = list(points.taps)
    by_descriptor = {tap.fileno(): (number, tap) for number, tap in enumerate(points.taps.values())}
    poll = select.poll()
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    places, seen = array("i"), array("Q")
    while True:
        over = time.time_ns() - start_realtime_ns >= end_ns
        ready = poll.poll(0)
        for descriptor, _ in ready:
            number, tap = by_descriptor[descriptor]
            for frame, _, realtime_ns in receive(tap, most=_BATCH):
                esp = esp_of(frame)
                if esp is not None:
                    digest = blake2b(esp, digest_size=_DIGEST_BYTES, key=key).digest()
                    places.append(number)
                    seen.extend((realtime_ns, int.from_bytes(esp[:8], "big"), int.from_bytes(digest, "big")))
        if not ready:
            if over:
                break
            time.sleep(_IDLE_S)
    np.save(folder / ROWS_FILE, _rows(places, seen, start_realtime_ns))
    document = {
        "start_realtime_ns": start_realtime_ns,
        "points": names,
        "entrances": sorted(points.entrances),
        "exits": sorted(points.exits),
        "cpu_s": round(time.thread_time() - spent_s, 3),
        "missed": {name: missed for name, tap in points.taps.items() if (missed := tap_statistics(tap)[1])},
    }
    (folder / POINTS_FILE).write_text(json.dumps(document, indent=1) + "\n")


def _rows(places: array[int], seen: array[int], start_realtime_ns: int) -> NDArray[np.void]:
    columns = np.array(seen, np.uint64).reshape(-1, 3)
    rows = np.zeros(len(columns), LEDGER_DTYPE)
    rows["point"] = np.array(places, np.int32)
    stamped = columns[:, 0] != NO_STAMP
    rows["time_ns"] = np.where(stamped, columns[:, 0].astype(np.int64) - start_realtime_ns, -1)
    rows["spi"] = columns[:, 1] >> np.uint64(32)
    rows["sequence"] = columns[:, 1] & np.uint64(0xFFFFFFFF)
    rows["digest"] = columns[:, 2]
    return rows


def compare(rows: NDArray[np.void], entrances: Collection[int], exits: Collection[int]) -> NDArray[np.void]:
    """What became of each packet, shape (n_packets,), TRUTH_DTYPE, by time; `entrances`, `exits`: numbers of points."""
    rows = rows[np.lexsort((rows["time_ns"], rows["digest"]))]
    truth = np.zeros(0, TRUTH_DTYPE)
    if not len(rows):
        return truth
    _, begin = np.unique(rows["digest"], return_index=True)
    end = np.r_[begin[1:], len(rows)]
    enters, leaves = np.isin(rows["point"], list(entrances)), np.isin(rows["point"], list(exits))
    places = np.arange(len(rows))
    first_in = np.minimum.reduceat(np.where(enters, places, len(rows) - 1), begin)
    first_out = np.minimum.reduceat(np.where(leaves, places, len(rows) - 1), begin)
    truth = np.zeros(len(begin), TRUTH_DTYPE)
    for name in ("spi", "sequence", "time_ns", "point"):
        truth[name] = rows[name][begin]
    truth["inside"], truth["outside"] = np.add.reduceat(enters, begin), np.add.reduceat(leaves, begin)
    came_in, came_out = truth["inside"] > 0, truth["outside"] > 0
    truth["entrance"] = np.where(came_in, rows["point"][first_in], -1)
    truth["exit"] = np.where(came_out, rows["point"][first_out], -1)
    transit_ns = rows["time_ns"][first_out] - rows["time_ns"][first_in]
    truth["transit_ns"] = np.where(came_in & came_out, transit_ns, -1)
    numbers = truth["spi"].astype(np.uint64) << np.uint64(32) | truth["sequence"].astype(np.uint64)
    tampered = ~came_in & np.isin(numbers, numbers[came_in])
    missing = came_in & ~came_out
    replaced = missing & np.isin(numbers, numbers[tampered])
    truth["point"][missing] = rows["point"][end - 1][missing]
    for kind, which in (
        (Kind.MISSING, missing),
        (Kind.REPLACED, replaced),
        (Kind.DUPLICATED, came_in & (truth["outside"] > truth["inside"])),
        (Kind.INJECTED, ~came_in),
        (Kind.TAMPERED, tampered),
    ):
        truth["kind"][which] = kind
    return truth[np.argsort(truth["time_ns"], kind="stable")]
