"""Fragments fit, come together in any order, and cannot be mixed."""

from __future__ import annotations

import random

import pytest
from exchange_fixture import refused
from hypothesis import given
from hypothesis import strategies as st

from traffic.errors import KeyExchangeError
from traffic.kexwire import MOST_WAITING, Assembler, Fields, Kind, Message, spis, text

ANSWER = Message(Kind.ANSWER, b"initiate", b"response", random.Random(1).randbytes(6286))
LARGEST_DATAGRAM = 1280 - 40 - 8  # RFC 8200, 5, less IPv6 and UDP headers


@given(st.integers(1, 16 * 1208), st.randoms(use_true_random=False))
def test_messages_arrive_whole_however_their_fragments_come(size: int, chance: random.Random) -> None:
    message = ANSWER._replace(payload=chance.randbytes(size))
    datagrams = message.datagrams()
    assert all(len(datagram) <= LARGEST_DATAGRAM and datagram[:4] == bytes(4) for datagram in datagrams)
    first = datagrams * 2
    chance.shuffle(first)
    last = first.index(max(datagrams, key=first.index))  # the whole is there once each has come
    assembler = Assembler()
    whole = [assembler.add(datagram) for datagram in first]
    assert whole[last] == message
    assert all(result in (None, message) for result in whole)


def test_a_missing_fragment_comes_with_the_repetition() -> None:
    assembler, datagrams = Assembler(), ANSWER.datagrams()
    assert len(datagrams) == 6
    assert [assembler.add(datagram) for datagram in datagrams[:2] + datagrams[3:]] == [None] * 5
    assert [assembler.add(datagram) for datagram in datagrams[:3]][2] == ANSWER


def test_fragments_that_contradict_each_other_refuse_the_whole() -> None:
    """As RFC 5722 demands of IP: who injects a fragment can stop the message until it is repeated, not change it."""
    assembler, datagrams = Assembler(), ANSWER.datagrams()
    assembler.add(datagrams[0][:-1] + b"x")
    assert "two different fragments 0 of 6" in refused(assembler.add, datagrams[0])
    assert [assembler.add(datagram) for datagram in datagrams][5] == ANSWER


def test_fragments_of_different_exchanges_do_not_mix() -> None:
    assembler = Assembler()
    other = ANSWER._replace(initiator=b"INITIATE", payload=bytes(6286))
    results = [assembler.add(part) for pair in zip(ANSWER.datagrams(), other.datagrams(), strict=True) for part in pair]
    assert [result for result in results if result is not None] == [ANSWER, other]


@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda tail: bytes(4) + b"\x01" + tail))
def test_any_other_bytes_are_ignored_or_refused(datagram: bytes) -> None:
    assembler = Assembler()
    result = assembler.add(datagram)
    assert result is None or result.kind in Kind


def test_memory_is_bounded() -> None:
    assembler = Assembler()
    for number in range(10 * MOST_WAITING):
        assembler.add(ANSWER._replace(initiator=number.to_bytes(8, "big")).datagrams()[0])
    assert len(assembler._waiting) == MOST_WAITING
    assert [assembler.add(datagram) for datagram in ANSWER.datagrams()][5] == ANSWER


def test_fields_say_what_is_wrong() -> None:
    fields = Fields(ANSWER._replace(payload=text("rome") + spis({46: 0x1000, 0: 0x2000}) + b"rest"))
    assert (fields.text(), fields.spis(), fields.rest()) == ("rome", {0: 0x2000, 46: 0x1000}, b"rest")
    fields.end()
    assert refused(fields.take, 3) == "ANSWER: it ends 3 bytes early"
    assert refused(Fields(ANSWER).end) == "ANSWER: 6286 bytes too many"
    assert refused(Fields(ANSWER._replace(payload=b"\x01\xff")).text) == "ANSWER: a text is not ASCII"
    with pytest.raises(KeyExchangeError, match="'Città' cannot be sent"):
        text("Città")
