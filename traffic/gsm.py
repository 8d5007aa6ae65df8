"""Text for phones: the GSM 7-bit alphabet, cell broadcast pages and concatenated SMS, there and back.

Alphabet and packing: 3GPP TS 23.038, 6.1 and 6.2. Cell broadcast: TS 23.041, 9.4.1. SMS: TS 23.040, 9.2.3.24.1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from traffic.errors import MessageError

PAGE_OCTETS: Final = 82
PAGE_CHARACTERS: Final = 93
MOST_PAGES: Final = 15
"""A page of cell broadcast, and how many make a message at most (TS 23.041, 9.4.1.2)."""

PAGE_HEADER: Final = struct.Struct(">HHBB")
"""Serial number, message identifier, data coding scheme, page parameter (TS 23.041, 9.4.1.2)."""

EU_ALERT_1: Final = 4370
"""Message identifier of the highest level, which no phone can switch off; IT-alert's (ETSI TS 102 900)."""
ITALIAN: Final = 0x01
"""Data coding scheme: 7-bit default alphabet, Italian (TS 23.038, 5)."""
OCTETS: Final = 0x44
"""Data coding scheme: 8-bit data, not compressed by the network (TS 23.038, 5)."""

SMS_OCTETS: Final = 140
SMS_CHARACTERS: Final = 160
SMS_PART_CHARACTERS: Final = 153
"""Of a part of a longer text: the header that says which part takes 7 characters' room."""
MOST_SMS_PARTS: Final = 255

_ALPHABET: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_ESCAPE: Final = 0x1B
_EXTENSION: Final = {
    "\f": 0x0A, "^": 0x14, "{": 0x28, "}": 0x29, "\\": 0x2F, "[": 0x3C, "~": 0x3D, "]": 0x3E, "|": 0x40, "€": 0x65,
}  # fmt: skip
_CODES: Final = {character: (code,) for code, character in enumerate(_ALPHABET) if code != _ESCAPE} | {
    character: (_ESCAPE, code) for character, code in _EXTENSION.items()
}
_CHARACTERS: Final = {codes: character for character, codes in _CODES.items()}
_FILLER: Final = 0x0D  # carriage return fills a page (TS 23.041, 9.4.1.2.4)
_CONCATENATION: Final = struct.Struct(">BBBBBB")  # header length, element 0, its length, reference, parts, this part


class Page(NamedTuple):
    """What a cell broadcast page's header says, and its content of 82 octets."""

    serial: int
    identifier: int
    coding: int
    number: int  # from 1
    total: int
    content: bytes


def pack(septets: Sequence[int], fill_bits: int = 0) -> bytes:
    """Septets as octets, the first in the low bits, behind `fill_bits` zeros (TS 23.038, 6.1.2)."""
    number = sum(septet << 7 * place for place, septet in enumerate(septets)) << fill_bits
    return number.to_bytes((7 * len(septets) + fill_bits + 7) // 8, "little")


def unpack(octets: bytes, count: int, fill_bits: int = 0) -> list[int]:
    """The first `count` septets of octets."""
    number = int.from_bytes(octets, "little") >> fill_bits
    return [number >> 7 * place & 0x7F for place in range(count)]


def septets_of(text: str) -> list[int]:
    """A text in the default alphabet and its extension; raises MessageError for a character that neither has."""
    codes: list[int] = []
    for character in text:
        if character not in _CODES:
            raise MessageError(f"character {character!r} is not in the GSM 7-bit alphabet: write it another way")
        codes.extend(_CODES[character])
    return codes


def text_of(septets: Iterable[int]) -> str:
    """The text that septets spell; an unknown extension is shown as a space (TS 23.038, 6.2.1.1)."""
    text, escaped = "", False
    for septet in septets:
        if not escaped and septet == _ESCAPE:
            escaped = True
            continue
        text += _CHARACTERS.get((_ESCAPE, septet) if escaped else (septet,), " ")
        escaped = False
    return text


def broadcast_pages(text: str, serial: int = 0, identifier: int = EU_ALERT_1) -> list[bytes]:
    """A text as cell broadcast pages, 88 octets each; raises MessageError if it takes more than 15."""
    chunks = _chunks(septets_of(text), PAGE_CHARACTERS)
    contents = [
        pack(chunk + [_FILLER] * (PAGE_CHARACTERS - len(chunk))).ljust(PAGE_OCTETS, b"\0") for chunk in chunks or [[]]
    ]
    return _pages(contents, serial, identifier, ITALIAN)


def broadcast_octets(data: bytes, serial: int = 0, identifier: int = EU_ALERT_1) -> list[bytes]:
    """Octets as cell broadcast pages for machines, their length in front; raises MessageError beyond 15 pages."""
    framed = len(data).to_bytes(2, "big") + data if len(data) < 1 << 16 else data
    contents = [framed[start : start + PAGE_OCTETS] for start in range(0, len(framed), PAGE_OCTETS)]
    return _pages([content.ljust(PAGE_OCTETS, b"\0") for content in contents], serial, identifier, OCTETS)


def parse_page(page: bytes) -> Page:
    """A page taken apart; raises MessageError."""
    if len(page) != PAGE_HEADER.size + PAGE_OCTETS:
        raise MessageError(f"a cell broadcast page of {len(page)} octets is refused: it has 88")
    serial, identifier, coding, parameter = PAGE_HEADER.unpack_from(page)
    number, total = parameter >> 4, parameter & 15
    if not 1 <= number <= total:
        raise MessageError(f"a cell broadcast page says that it is page {number} of {total}")
    return Page(serial, identifier, coding, number, total, page[PAGE_HEADER.size :])


def joined_pages(pages: Iterable[bytes]) -> str | bytes | None:
    """The message of pages in any order, copies allowed: text or octets, as their coding says; None while one lacks.

    Raises MessageError for pages that are not of one message.
    """
    found: dict[int, Page] = {}
    for page in map(parse_page, pages):
        first = next(iter(found.values()), page)
        if (page.serial, page.identifier, page.coding, page.total) != (*first[:3], first.total):
            raise MessageError(f"cell broadcast pages of two messages, serial {first.serial} and {page.serial}")
        found[page.number] = page
    if not found or len(found) < next(iter(found.values())).total:
        return None
    ordered = [found[number] for number in sorted(found)]
    if ordered[0].coding == OCTETS:
        octets = b"".join(page.content for page in ordered)
        return octets[2 : 2 + int.from_bytes(octets[:2], "big")]
    septets = [septet for page in ordered for septet in _without_filler(unpack(page.content, PAGE_CHARACTERS))]
    return text_of(septets)


def sms_parts(text: str, reference: int = 0) -> list[bytes]:
    """The user data of a text's SMS, at most 140 octets each; raises MessageError if it takes more than 255."""
    septets = septets_of(text)
    if len(septets) <= SMS_CHARACTERS:
        return [pack(septets)]
    chunks = _chunks(septets, SMS_PART_CHARACTERS)
    if len(chunks) > MOST_SMS_PARTS:
        raise MessageError(
            f"a text of {len(septets)} septets takes {len(chunks)} SMS: at most {MOST_SMS_PARTS} belong together"
        )
    headers = (_CONCATENATION.pack(5, 0, 3, reference & 0xFF, len(chunks), part) for part in range(1, len(chunks) + 1))
    return [header + pack(chunk, fill_bits=1) for header, chunk in zip(headers, chunks, strict=True)]


def joined_sms(parts: Sequence[tuple[bytes, int]]) -> str | None:
    """The text of SMS parts in any order: (user data, how many septets, header included); None while one lacks.

    Raises MessageError for parts that do not belong together.
    """
    if len(parts) == 1 and parts[0][1] <= SMS_CHARACTERS and parts[0][0][:3] != b"\x05\x00\x03":
        return text_of(unpack(*parts[0]))
    found: dict[int, list[int]] = {}
    whole: tuple[int, int] | None = None
    for data, count in parts:
        _, _, _, reference, total, number = _CONCATENATION.unpack_from(data)
        if whole not in (None, (reference, total)) or not 1 <= number <= total:
            raise MessageError(f"SMS part {number} of {total}, reference {reference}, belongs to another text")
        whole = reference, total
        found[number] = unpack(data[_CONCATENATION.size :], count - 7, fill_bits=1)
    if whole is None or len(found) < whole[1]:
        return None
    return text_of([septet for number in sorted(found) for septet in found[number]])


def _pages(contents: Sequence[bytes], serial: int, identifier: int, coding: int) -> list[bytes]:
    total = len(contents)
    if total > MOST_PAGES:
        raise MessageError(f"a cell broadcast of {total} pages is refused: at most {MOST_PAGES}; shorten it")
    return [
        PAGE_HEADER.pack(serial & 0xFFFF, identifier, coding, number << 4 | total) + content
        for number, content in enumerate(contents, start=1)
    ]


def _chunks(septets: list[int], size: int) -> list[list[int]]:
    """Pieces of at most `size` that part no escape from what it escapes."""
    chunks, start = [], 0
    while start < len(septets):
        end = start + size
        if end < len(septets) and septets[end - 1] == _ESCAPE:
            end -= 1
        chunks.append(septets[start:end])
        start = end
    return chunks


def _without_filler(septets: list[int]) -> list[int]:
    end = len(septets)
    while end and septets[end - 1] == _FILLER:
        end -= 1
    return septets[:end]
