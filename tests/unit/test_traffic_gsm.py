"""Text for phones, held against published examples."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traffic.errors import MessageError
from traffic.gsm import (
    EU_ALERT_1,
    OCTETS,
    broadcast_octets,
    broadcast_pages,
    joined_pages,
    joined_sms,
    pack,
    parse_page,
    septets_of,
    sms_parts,
    text_of,
    unpack,
)

ALPHABET = "@£$¥èéùìòÇ\nØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡AZÄÖÑÜ§¿azäöñüà^{}\\[~]|€"
texts = st.text(st.sampled_from(ALPHABET), max_size=600)


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("hellohello", "E8329BFD4697D9EC37"),  # the example of most introductions to SMS in PDU mode
        ("How are you?", "C8F71D14969741F977FD07"),
        ("€", "9B32"),  # escape and 0x65
    ],
)
def test_packed_as_phones_pack(text: str, octets: str) -> None:
    assert pack(septets_of(text)).hex().upper() == octets
    assert text_of(unpack(bytes.fromhex(octets), len(septets_of(text)))) == text


def test_italian_needs_no_other_alphabet() -> None:
    text = "Perché è così? Sarà più in là: Università, città, virtù."
    assert text_of(septets_of(text)) == text


def test_a_page_has_93_characters_in_82_octets() -> None:
    (page,) = broadcast_pages("x" * 93, serial=0x1234)
    assert len(page) == 88
    assert page.hex().startswith("123411120111")  # serial, EU-Alert level 1, Italian, page 1 of 1
    first, second = broadcast_pages("x" * 94)
    assert (first[5], second[5]) == (0x12, 0x22)
    assert EU_ALERT_1 == 0x1112


@settings(deadline=None)
@given(text=texts, seed=st.integers())
def test_pages_in_any_order_with_copies_make_the_message(text: str, seed: int) -> None:
    pages = broadcast_pages(text)
    shuffled = pages * 2
    random.Random(seed).shuffle(shuffled)
    assert joined_pages(shuffled) == text.rstrip("\r")
    assert joined_pages(pages[1:]) is None


def test_fifteen_pages_are_the_most() -> None:
    assert len(broadcast_pages("x" * 15 * 93)) == 15
    with pytest.raises(MessageError, match="of 16 pages is refused: at most 15"):
        broadcast_pages("x" * (15 * 93 + 1))


@settings(deadline=None)
@given(data=st.binary(max_size=1228))
def test_octets_come_back(data: bytes) -> None:
    pages = broadcast_octets(data)
    assert parse_page(pages[0]).coding == OCTETS
    assert joined_pages(reversed(pages)) == data


def test_pages_of_two_messages_are_not_mixed() -> None:
    with pytest.raises(MessageError, match="of two messages, serial 1 and 2"):
        joined_pages([*broadcast_pages("a", serial=1), *broadcast_pages("b", serial=2)])
    with pytest.raises(MessageError, match="page of 87 octets"):
        joined_pages([bytes(87)])
    with pytest.raises(MessageError, match="page 0 of 0"):
        joined_pages([bytes(88)])
    assert joined_pages([]) is None


def septet_counts(parts: list[bytes], text: str) -> list[tuple[bytes, int]]:
    """Each part with its length in septets, which travels beside the user data."""
    total = len(septets_of(text))
    if len(parts) == 1:
        return [(parts[0], total)]
    counts, left = [], total
    for part in parts:
        inside = (len(part) - 6) * 8 // 7
        inside = min(inside, left, 153)
        if left > inside and unpack(part[6:], inside, 1)[-1] == 0x1B:
            inside -= 1
        counts.append((part, inside + 7))
        left -= inside
    return counts


def test_a_single_sms_has_160_characters_and_a_part_153() -> None:
    assert [len(part) for part in sms_parts("x" * 160)] == [140]
    parts = sms_parts("x" * 161, reference=0xA7)
    assert [part[:6].hex() for part in parts] == ["050003a70201", "050003a70202"]
    assert len(parts[0]) == 140
    assert len(sms_parts("x" * 153 * 255)) == 255
    with pytest.raises(MessageError, match="takes 256 SMS"):
        sms_parts("x" * (153 * 255 + 1))


@settings(deadline=None)
@given(text=st.text(st.sampled_from("abcé €"), min_size=1, max_size=600))
def test_parts_in_any_order_make_the_text(text: str) -> None:
    parts = sms_parts(text)
    counted = septet_counts(parts, text)
    assert joined_sms(list(reversed(counted))) == text
    if len(parts) > 1:
        assert joined_sms(counted[:-1]) is None
        assert all(len(part) <= 140 for part in parts)


def test_parts_of_two_texts_are_not_mixed() -> None:
    one, other = (sms_parts("x" * 200, reference) for reference in (1, 2))
    with pytest.raises(MessageError, match="reference 2, belongs to another text"):
        joined_sms([(one[0], 160), (other[1], 54)])
