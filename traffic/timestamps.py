"""Sockets whose packets the kernel stamps: one-way delay is TX_SCHED at the sender to RX at the receiver.

TX_SCHED is taken before the packet enters the queueing discipline. TX_SOFTWARE is taken after it and would miss a
netem or a shaper on the sender's egress, so it is never used here. All stamps are CLOCK_REALTIME, which every network
namespace shares (Linux, Documentation/networking/timestamping.rst).
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import sys
import time
from typing import Any, Final

from traffic.errors import SocketError

# Constants that Python 3.11's socket module lacks (Linux, include/uapi).
SO_NO_CHECK: Final = 11
SO_ATTACH_FILTER: Final = 26
SO_RCVBUFFORCE: Final = 33
SO_TIMESTAMPING: Final = 37
SOF_RX_SOFTWARE: Final = 1 << 3
SOF_SOFTWARE: Final = 1 << 4
SOF_OPT_ID: Final = 1 << 7
SOF_TX_SCHED: Final = 1 << 8
SOF_OPT_TSONLY: Final = 1 << 11
MSG_ERRQUEUE: Final = 0x2000
IP_RECVERR: Final = 11
IPV6_RECVERR: Final = 25
SOL_PACKET: Final = 263
PACKET_STATISTICS: Final = 6
PACKET_TX_TIMESTAMP: Final = 16
PACKET_IGNORE_OUTGOING: Final = 23
ETH_P_ALL: Final = 0x0003

NO_STAMP: Final = 0
"""The receive time of a packet that the kernel did not stamp .

The kernel turns stamping on some milliseconds after the first socket on the machine has asked for it."""

_BPF_RET: Final = 0x06  # a classic BPF instruction
_ORIGIN_TIMESTAMPING: Final = 4  # sock_extended_err.ee_origin
_TSTAMP_SCHED: Final = 1  # sock_extended_err.ee_info; 0 would be TX_SOFTWARE
_EXTENDED_ERROR: Final = struct.Struct("=IBBBBII")  # struct sock_extended_err
_TIMESPEC: Final = struct.Struct("@ll")  # the first of the three of struct scm_timestamping: software
_ANCILLARY_BYTES: Final = 256  # three timespecs, one extended error and an address, with room to spare
_ERROR_LEVELS: Final = {
    (socket.IPPROTO_IP, IP_RECVERR),
    (socket.IPPROTO_IPV6, IPV6_RECVERR),
    (SOL_PACKET, PACKET_TX_TIMESTAMP),
}
_UDP_BUFFER_BYTES: Final = 4 << 20  # unread stamps wait in the receive buffer; the default holds about 270
_TAP_BUFFER_BYTES: Final = 8 << 20
_NS_PER_S: Final = 1_000_000_000


def open_udp(
    address: str,
    port: int = 0,
    *,
    dscp: int = 0,
    tx_stamps: bool = False,
    rx_stamps: bool = False,
    no_checksum: bool = False,
) -> socket.socket:
    """A non-blocking UDP socket bound to `address`, IPv4 or IPv6, in the calling thread's network namespace.

    `dscp`: 0..63, code point of all it sends. `tx_stamps`: each packet sent leaves a TX_SCHED record for `tx_stamps()`.
    `rx_stamps`: `receive()` returns kernel receive times. `no_checksum`: UDP checksum 0, as RFC 3948 (2.1) wants for
    ESP in UDP over IPv4. Raises SocketError.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if not 0 <= dscp <= 63:
        raise SocketError(f"UDP socket on {address}: DSCP {dscp} is not in 0..63")
    if no_checksum and family == socket.AF_INET6:
        raise SocketError(
            f"UDP socket on {address}: IPv6 needs its UDP checksum (RFC 8200, 8.1); leave no_checksum out"
        )
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)
        if no_checksum:
            sock.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        flags = 0
        if tx_stamps:
            flags |= SOF_SOFTWARE | SOF_TX_SCHED | SOF_OPT_ID | SOF_OPT_TSONLY
        if rx_stamps:
            flags |= SOF_SOFTWARE | SOF_RX_SOFTWARE
        if flags:
            _set_receive_buffer(sock, _UDP_BUFFER_BYTES)
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, flags)
        sock.bind((address, port))
    except OSError as error:
        sock.close()
        raise SocketError(f"UDP socket on {address} port {port}: {error.strerror or error}") from error
    return sock


def _set_receive_buffer(sock: socket.socket, size_bytes: int) -> None:
    """Beyond the system's limit, or up to it where that is not permitted."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size_bytes)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size_bytes)


def tx_stamps(sock: socket.socket) -> list[tuple[int, int]]:
    """Drain the error queue of a socket opened with `tx_stamps`.

    Returns (counter, time) pairs in the kernel's order: the packet's number since the socket was opened, modulo 2³²
    (unwrapping is the caller's), and its TX_SCHED time, CLOCK_REALTIME ns. Records of any other kind are dropped.
    """
    stamps: list[tuple[int, int]] = []
    while True:
        try:
            _, ancillary, _, _ = sock.recvmsg(0, _ANCILLARY_BYTES, MSG_ERRQUEUE)
        except BlockingIOError:
            return stamps
        time_ns, counter = NO_STAMP, -1
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPING:
                seconds, nanoseconds = _TIMESPEC.unpack_from(data)
                time_ns = seconds * _NS_PER_S + nanoseconds
            elif (level, kind) in _ERROR_LEVELS:
                _, origin, _, _, _, info, number = _EXTENDED_ERROR.unpack_from(data)
                if origin == _ORIGIN_TIMESTAMPING and info == _TSTAMP_SCHED:
                    counter = number
        if counter >= 0 and time_ns != NO_STAMP:
            stamps.append((counter, time_ns))


def receive(
    sock: socket.socket, size: int = 2048, *, most: int = sys.maxsize
) -> list[tuple[bytes, tuple[Any, ...], int]]:
    """Drain a socket opened with `rx_stamps`, or a tap, of `most` packets at most.

    Returns (payload, address, time) of each packet in order: at most `size` bytes of it, the sender's address as
    Python's socket gives it, and the kernel's receive time, CLOCK_REALTIME ns (NO_STAMP where it gave none).
    """
    packets: list[tuple[bytes, tuple[Any, ...], int]] = []
    while len(packets) < most:
        try:
            payload, ancillary, _, address = sock.recvmsg(size, _ANCILLARY_BYTES)
        except BlockingIOError:
            break
        except OSError as error:
            if error.errno == errno.ENETDOWN:  # a tap says so once when its interface goes down, and works on
                break
            raise
        time_ns = NO_STAMP
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPING:
                seconds, nanoseconds = _TIMESPEC.unpack_from(data)
                time_ns = seconds * _NS_PER_S + nanoseconds
        packets.append((payload, address, time_ns))
    return packets


def deafen(sock: socket.socket) -> None:
    """Let the kernel discard all that arrives at a UDP socket, which then only sends and keeps its port open.

    Without it, datagrams nobody reads would fill the receive buffer, where the send stamps wait.
    """
    refuse_all = struct.pack("=HBBI", _BPF_RET, 0, 0, 0)  # struct sock_filter: return 0 bytes
    program = ctypes.create_string_buffer(refuse_all, len(refuse_all))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(program)))


def open_tap(interface: str, buffer_bytes: int = _TAP_BUFFER_BYTES) -> socket.socket:
    """A non-blocking packet socket that sees every frame arriving at `interface`, with kernel receive times.

    It belongs to the calling thread's network namespace and does not see what the host itself sends. Frames can also
    be sent with it; they pass the interface's queueing discipline. Needs CAP_NET_RAW. Raises SocketError.
    """
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # protocol 0: deaf until bound
    except OSError as error:
        raise SocketError(
            f"tap on {interface}: {error.strerror or error}; it needs CAP_NET_RAW: run it as root"
        ) from error
    try:
        sock.setblocking(False)
        _set_receive_buffer(sock, buffer_bytes)
        sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, SOF_SOFTWARE | SOF_RX_SOFTWARE)
        sock.bind((interface, ETH_P_ALL))
    except OSError as error:
        sock.close()
        raise SocketError(f"tap on {interface}: {error.strerror or error}") from error
    return sock


def tap_statistics(sock: socket.socket) -> tuple[int, int]:
    """(packets seen, packets dropped for want of buffer) since the last reading: the kernel resets both when read."""
    packets, drops = struct.unpack("=II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    return packets, drops


def clock_offset_ns() -> int:
    """CLOCK_REALTIME, the clock of all stamps, less CLOCK_MONOTONIC: constant unless somebody sets the clock.

    Of five readings the tightest, so that a process put aside between the two clocks is not taken for a step.
    """
    readings = []
    for _ in range(5):
        before = time.monotonic_ns()
        real = time.time_ns()
        after = time.monotonic_ns()
        readings.append((after - before, real - (before + after) // 2))
    return min(readings)[1]
