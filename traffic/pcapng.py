"""Capture files: pcapng written (draft-ietf-opsawg-pcapng), pcapng and pcap read (draft-ietf-opsawg-pcap).

Written are section header, interface descriptions with name and nanosecond stamps, and enhanced packets. Read are all
Ethernet, raw IP and Linux cooked captures, whatever their byte order; each packet comes as an Ethernet frame.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, NamedTuple

from traffic.errors import CaptureError

LINKTYPE_ETHERNET: Final = 1

_LINKTYPE_RAW: Final = frozenset({101, 12, 14})  # 12 and 14: what some systems write for it
_LINKTYPE_COOKED: Final = 113
_LINKTYPE_COOKED_2: Final = 276
_SECTION: Final = 0x0A0D0D0A
_INTERFACE: Final = 1
_SIMPLE_PACKET: Final = 3
_ENHANCED_PACKET: Final = 6
_BYTE_ORDER: Final = 0x1A2B3C4D
_OPTION_END: Final = 0
_OPTION_NAME: Final = 2  # if_name
_OPTION_RESOLUTION: Final = 9  # if_tsresol
_NANOSECONDS: Final = 9
_MICROSECONDS: Final = 6  # where a file does not say
_PCAP: Final = {
    b"\xd4\xc3\xb2\xa1": ("<", 1_000),
    b"\xa1\xb2\xc3\xd4": (">", 1_000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
_NS_PER_S: Final = 1_000_000_000
_LARGEST_BLOCK: Final = 16 << 20  # Assumption: no packet and no list of options is longer; a damaged length is
_NO_ADDRESSES: Final = bytes(12)


class Captured(NamedTuple):
    """A packet of a capture file. `time_ns`: since 1970; `cut`: the file does not hold all of it."""

    interface: int
    time_ns: int
    frame: bytes  # with an Ethernet header, made up where the link had none
    cut: bool = False


class PcapngWriter:
    """Writes one section, into a new file or one that is open. A context manager, which closes it.

    Raises CaptureError if the file cannot be made.
    """

    def __init__(self, into: Path | BinaryIO) -> None:
        try:
            self._file = into.open("wb") if isinstance(into, Path) else into
        except OSError as error:
            raise CaptureError(f"{into}: {error.strerror}") from error
        self._interfaces = 0
        self._block(_SECTION, struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1))

    def __enter__(self) -> PcapngWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def interface(self, name: str) -> int:
        """Declare an Ethernet interface; returns its number in the file."""
        body = struct.pack("<HHI", LINKTYPE_ETHERNET, 0, 0)
        body += _option(_OPTION_NAME, name.encode()) + _option(_OPTION_RESOLUTION, bytes([_NANOSECONDS]))
        self._block(_INTERFACE, body + _option(_OPTION_END, b""))
        self._interfaces += 1
        return self._interfaces - 1

    def packet(self, interface: int, time_ns: int, frame: bytes) -> None:
        """Add a frame that passed a declared interface."""
        header = struct.pack("<IIIII", interface, time_ns >> 32, time_ns & 0xFFFFFFFF, len(frame), len(frame))
        self._block(_ENHANCED_PACKET, header + _padded(frame))

    def flush(self) -> None:
        """Whoever reads along sees all that has been added."""
        self._file.flush()

    def _block(self, kind: int, body: bytes) -> None:
        length = 12 + len(body)
        self._file.write(struct.pack("<II", kind, length) + body + struct.pack("<I", length))


def merge(captures: Iterable[tuple[str, Path]], into: Path) -> int:
    """Put captures together as one pcapng in the order of time, each a named interface; returns the packets.

    Raises CaptureError.
    """
    count = 0
    with PcapngWriter(into) as writer:
        numbered = [(writer.interface(name), path) for name, path in captures]
        streams = [_numbered(number, path) for number, path in numbered]
        for packet in heapq.merge(*streams, key=lambda packet: packet.time_ns):
            writer.packet(packet.interface, packet.time_ns, packet.frame)
            count += 1
    return count


def _numbered(number: int, path: Path) -> Iterator[Captured]:
    return (packet._replace(interface=number) for packet in read_capture(path))


def read_capture(path: Path) -> Iterator[Captured]:
    """The packets of a pcap or pcapng file, in its order; raises CaptureError where it is damaged."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            if magic in _PCAP:
                yield from _read_pcap(path, file, *_PCAP[magic])
            elif magic == struct.pack("<I", _SECTION):
                yield from _read_pcapng(path, file)
            else:
                raise CaptureError(f"{path}: neither pcap nor pcapng (it begins with {magic.hex() or 'nothing'})")
    except OSError as error:
        raise CaptureError(f"{path}: {error.strerror}") from error


def read_pcap_stream(file: BinaryIO, name: str) -> Iterator[Captured]:
    """The packets of a pcap as it is being written, each as it comes; `name`: for errors. Raises CaptureError."""
    magic = file.read(4)
    if not magic:
        return
    if magic not in _PCAP:
        raise CaptureError(f"{name}: no pcap (it begins with {magic.hex()})")
    yield from _read_pcap(Path(name), file, *_PCAP[magic])


def _read_pcap(path: Path, file: BinaryIO, order: str, unit_ns: int) -> Iterator[Captured]:
    (link,) = struct.unpack(f"{order}16xI", _exactly(path, file, 20))
    _check_link(path, link & 0xFFFF)
    record = struct.Struct(f"{order}IIII")
    while head := file.read(record.size):
        if len(head) < record.size:
            raise _broken(path, file)
        seconds, fraction, kept, length = record.unpack(head)
        data = _exactly(path, file, kept)
        yield Captured(0, seconds * _NS_PER_S + fraction * unit_ns, _ethernet(link & 0xFFFF, data), kept < length)


def _read_pcapng(path: Path, file: BinaryIO) -> Iterator[Captured]:
    file.seek(0)
    order, base = "<", 0  # interfaces of earlier sections count on
    interfaces: list[tuple[int, int, int]] = []  # link type, ticks per second, longest packet
    while head := file.read(8):
        if len(head) < 8:
            raise _broken(path, file)
        if head[:4] == struct.pack("<I", _SECTION):  # the same in both orders
            mark = _exactly(path, file, 4)
            order = "<" if mark == struct.pack("<I", _BYTE_ORDER) else ">"
            file.seek(-4, 1)
            base, interfaces = base + len(interfaces), []
        kind, length = struct.unpack(f"{order}II", head)
        if length < 12 or length & 3:
            raise _broken(path, file)
        body = _exactly(path, file, length - 8)[:-4]
        try:
            if kind == _INTERFACE:
                link, kept = struct.unpack_from(f"{order}HxxI", body)
                _check_link(path, link)
                interfaces.append((link, _ticks_per_s(body[8:], order), kept))
            elif kind == _ENHANCED_PACKET:
                number, high, low, kept, whole = struct.unpack_from(f"{order}IIIII", body)
                link, ticks_per_s, _ = interfaces[number]
                if 20 + kept > len(body):
                    raise _broken(path, file)
                time_ns = (high << 32 | low) * _NS_PER_S // ticks_per_s
                yield Captured(base + number, time_ns, _ethernet(link, body[20 : 20 + kept]), kept < whole)
            elif kind == _SIMPLE_PACKET:
                (whole,) = struct.unpack_from(f"{order}I", body)
                link, _, most = interfaces[0]
                kept = min(whole, most or whole, len(body) - 4)
                yield Captured(base, 0, _ethernet(link, body[4 : 4 + kept]), kept < whole)
        except (struct.error, IndexError):
            raise _broken(path, file) from None


def _ticks_per_s(options: bytes, order: str) -> int:
    at = 0
    while at + 4 <= len(options):
        kind, length = struct.unpack_from(f"{order}HH", options, at)
        if kind == _OPTION_END:
            break
        if kind == _OPTION_RESOLUTION and length == 1 and at + 4 < len(options):
            value = options[at + 4]
            base: int = 2 if value & 0x80 else 10
            return int(base ** (value & 0x7F))
        at += 4 + length + -length % 4
    return 10**_MICROSECONDS


def _check_link(path: Path, link: int) -> None:
    if link not in (LINKTYPE_ETHERNET, _LINKTYPE_COOKED, _LINKTYPE_COOKED_2, *_LINKTYPE_RAW):
        raise CaptureError(f"{path}: link type {link} is not known here: capture Ethernet, raw IP or Linux cooked")


def _ethernet(link: int, data: bytes) -> bytes:
    """The frame, with an Ethernet header of zeros and the protocol where the link has another one."""
    if link in _LINKTYPE_RAW:
        return _NO_ADDRESSES + (b"\x86\xdd" if data[:1] and data[0] >> 4 == 6 else b"\x08\x00") + data
    if link == _LINKTYPE_COOKED:
        return _NO_ADDRESSES + data[14:16] + data[16:]
    if link == _LINKTYPE_COOKED_2:
        return _NO_ADDRESSES + data[:2] + data[20:]
    return data


def _exactly(path: Path, file: BinaryIO, count: int) -> bytes:
    data = file.read(count) if count <= _LARGEST_BLOCK else b""
    if len(data) < count:
        raise _broken(path, file)
    return data


def _broken(path: Path, file: BinaryIO) -> CaptureError:
    place = f" near byte {file.tell():,}" if file.seekable() else ""
    return CaptureError(f"{path}: damaged or cut off{place}")


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(kind: int, value: bytes) -> bytes:
    return struct.pack("<HH", kind, len(value)) + _padded(value)
