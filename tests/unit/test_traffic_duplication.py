"""Copies over two paths: each is known for what it is, and who sends one again is still caught."""

from __future__ import annotations

import random
import socket

import pytest
from traffic_pair import ETHERNET, SPI, Pair

from traffic.errors import ConfigurationError
from traffic.packets import udp_packet
from traffic.replay import Copies
from traffic.session import SessionOptions
from traffic.verdicts import Verdict

MAIN, OTHER, STRANGE = "192.0.2.2", "192.0.2.6", "192.0.2.9"


def pair(window: int = 64) -> Pair:
    return Pair(window=window, copies={SPI: Copies([socket.inet_aton(MAIN), socket.inet_aton(OTHER)], window)})


def to(data: bytes, address: str) -> bytes:
    """The frame of a packet, sent to another address of the receiver."""
    return ETHERNET + udp_packet("192.0.2.1", address, 4500, 4500, data[len(ETHERNET) + 28 :])


def test_whichever_copy_comes_first_is_delivered_and_the_other_removed() -> None:
    receiver, dice = pair(), random.Random(1)
    for data in receiver.send_many(200):
        copies = [to(data, MAIN), to(data, OTHER)]
        dice.shuffle(copies)
        assert [receiver.judge(copy).verdict for copy in copies] == [Verdict.GENUINE, Verdict.SECOND_COPY]
    assert not Verdict.SECOND_COPY.is_alarm


def test_a_copy_that_comes_after_the_window_has_passed_it_is_still_the_second_one() -> None:
    """As over a satellite in GEO: one path is late by more packets than the window holds."""
    receiver = pair(window=64)
    sent = receiver.send_many(200)
    assert receiver.verdicts([to(data, MAIN) for data in sent]) == {Verdict.GENUINE: 200}
    assert receiver.verdicts([to(data, OTHER) for data in sent]) == {Verdict.SECOND_COPY: 200}


@pytest.mark.parametrize("address", [MAIN, OTHER])
def test_a_replay_at_either_address_raises_an_alarm(address: str) -> None:
    receiver = pair()
    (data,) = receiver.send_many(1)
    assert [receiver.judge(to(data, one)).verdict for one in (MAIN, OTHER)] == [Verdict.GENUINE, Verdict.SECOND_COPY]
    again = receiver.judge(to(data, address))
    assert again.verdict is Verdict.REPLAY_IN_WINDOW
    assert again.verdict.is_alarm


def test_a_replay_before_the_second_copy_has_come_raises_an_alarm() -> None:
    receiver = pair()
    (data,) = receiver.send_many(1)
    frames = [to(data, MAIN), to(data, MAIN), to(data, OTHER)]
    assert [receiver.judge(one).verdict for one in frames] == [
        Verdict.GENUINE,
        Verdict.REPLAY_IN_WINDOW,
        Verdict.SECOND_COPY,
    ]


def test_an_old_replay_and_one_to_a_strange_address_raise_alarms() -> None:
    receiver = pair(window=64)
    sent = receiver.send_many(200)
    receiver.verdicts([to(data, MAIN) for data in sent] + [to(data, OTHER) for data in sent])
    assert receiver.judge(to(sent[0], OTHER)).verdict is Verdict.REPLAY_OLD
    assert receiver.judge(to(sent[-1], STRANGE)).verdict is Verdict.REPLAY_IN_WINDOW


def test_a_forged_copy_is_forged_and_spoils_nothing() -> None:
    receiver = pair()
    (data,) = receiver.send_many(1)
    forged = bytearray(to(data, OTHER))
    forged[-1] ^= 1
    frames = [to(data, MAIN), bytes(forged), to(data, OTHER)]
    assert [receiver.judge(one).verdict for one in frames] == [Verdict.GENUINE, Verdict.FORGED, Verdict.SECOND_COPY]


def test_without_copies_the_second_one_is_a_replay() -> None:
    receiver = Pair()
    (data,) = receiver.send_many(1)
    frames = [to(data, MAIN), to(data, OTHER)]
    assert [receiver.judge(one).verdict for one in frames] == [Verdict.GENUINE, Verdict.REPLAY_IN_WINDOW]


def test_what_cannot_be_copied_is_refused() -> None:
    for options in ({"profile": "classic"}, {"generator": "scapy"}, {"encryption": "operator"}):
        with pytest.raises(ConfigurationError, match="copies over a second path"):
            SessionOptions(duplicated=(51,), **options)  # type: ignore[arg-type]
