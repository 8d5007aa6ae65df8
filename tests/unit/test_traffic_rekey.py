"""Make before break: whatever happens to an exchange, no packet is lost to it and none is sent without a live key."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from exchange_fixture import MS, S
from rekey_fixture import TERMS, Link, unharmed, with_lifetime

from traffic.errors import ConfigurationError, SequenceExhausted
from traffic.kexwire import Kind
from traffic.keyexchange import Timing
from traffic.rekey import MOST_HALF_OPEN, Lifetime, Terms
from traffic.verdicts import Verdict


def kind(datagram: bytes) -> Kind:
    return Kind(datagram[5])


def handovers(link: Link) -> Callable[[], None]:
    """What packets sent after a leap to 20 ms do: they overtake those before it."""

    def leap() -> None:
        link.delay_ns = 60 * MS if link.clock.time_ns // (70 * MS) % 2 else 20 * MS

    return leap


@pytest.mark.parametrize("profile", ["classic", "eu-hybrid", "cnsa2"])
def test_twenty_rekeys_across_handovers_lose_nothing(profile: str) -> None:
    """The one-way delay leaps between 60 and 20 ms every 70 ms, so handovers fall into every phase of an exchange."""
    link = Link(profile=profile)
    link.run(43, handovers(link))
    link.settle()
    assert link.rome.end.counts.completed >= 21
    assert link.lost() == link.repeats == 0
    assert not link.rome.refused + link.milan.refused
    assert link.rome.alarms == link.milan.alarms == []
    assert link.rome.unkeyed <= 2 * 25  # before the first keys
    durations = link.rome.end.counts.durations_ns
    assert len(durations) == link.rome.end.counts.completed
    assert all(4 * 20 * MS <= duration <= 4 * 60 * MS + 5 * 10 * MS for duration in durations)


def test_without_a_grace_packets_in_flight_are_refused() -> None:
    """What the tests of no loss would see if the grace were too short."""
    link = Link(replace(TERMS, grace_ns=0))
    link.run(20, handovers(link))
    link.settle()
    refused = link.rome.refused + link.milan.refused
    assert refused["EXPIRED_SA"] == link.lost() > 0


@pytest.mark.parametrize("seed", range(8))
def test_lost_doubled_late_and_reordered_messages_lose_no_data(seed: int) -> None:
    chance = random.Random(seed)

    def harm(datagram: bytes) -> list[tuple[int, bytes]]:
        copies = chance.choices((0, 1, 2), (0.25, 0.6, 0.15))[0]
        return [(chance.choice((0, 20, 300)) * MS, datagram) for _ in range(copies)]

    link = Link(profile="eu-hybrid" if seed % 2 else "classic", harm=harm)
    link.run(30)
    link.settle()
    assert link.rome.end.counts.completed >= 5
    assert link.lost() == link.repeats == 0
    assert not link.rome.refused + link.milan.refused
    assert not link.rome.end.counts.refused + link.milan.end.counts.refused
    assert link.rome.names() | link.milan.names() <= {"KEX_FAIL", "EXPIRED_SA"}  # the link may be too bad for too long


def test_the_old_association_is_accepted_for_the_grace_and_not_longer() -> None:
    link = Link()
    link.run(1)
    old = dict(link.milan.installed)
    link.run(3)
    assert link.milan.end.counts.completed == 2
    (switched_ns,) = {until_ns - TERMS.grace_ns for spi, until_ns in link.milan.until_ns.items() if spi in old}
    heard_ns = 2 * S  # and the exchange
    assert heard_ns < switched_ns < heard_ns + 500 * MS
    assert link.rome.until_ns.keys() & link.rome.installed.keys() == set(list(link.rome.installed)[:2])


def test_done_lost_for_ever_is_replaced_by_data_under_the_new_keys() -> None:
    link = Link(harm=lambda datagram: [] if kind(datagram) is Kind.DONE else unharmed(datagram))
    link.run(20)
    link.settle()
    assert link.rome.end.counts.completed >= 8
    assert link.lost() == 0
    assert link.rome.alarms == link.milan.alarms == []


def test_without_done_and_without_data_the_old_keys_serve_on() -> None:
    """milan has switched and rome cannot know: it goes on under keys that milan therefore keeps."""
    link = Link()
    link.run(1)
    link.milan.talks = False
    switch = link.milan.switch
    link.milan.switch = lambda dscp, association: link.milan.out.__setitem__(dscp, association)  # no dummy either
    link.harm = lambda datagram: [] if kind(datagram) is Kind.DONE else unharmed(datagram)
    link.run(4)
    assert link.lost() == 0
    assert link.rome.end.counts.completed == 1
    assert link.rome.end.counts.failed >= 1
    assert "no good DONE within 1.5 s" in link.rome.alarms[0][2]
    assert link.milan.end.counts.completed >= 2
    link.harm = unharmed
    link.milan.switch = switch  # type: ignore[method-assign]
    link.milan.talks = True
    link.run(3)
    link.settle()
    assert link.rome.end.current is not None
    assert link.milan.end.current is not None
    assert link.rome.end.current.number == link.milan.end.current.number
    assert link.lost() == 0
    assert not link.rome.refused + link.milan.refused


def test_a_blocked_rekey_keeps_the_old_keys_then_stops_and_never_falls_back() -> None:
    link = Link()
    link.run(1)
    first = {spi for host in (link.rome, link.milan) for spi in host.installed}
    link.harm = lambda _: []
    link.run(4.5)  # soft at 2 s; two attempts fail
    assert link.rome.end.counts.failed == 2
    assert [verdict for _, verdict, _ in link.rome.alarms] == [Verdict.KEX_FAIL] * 2
    assert link.rome.alarms[0][2] == "with milan: no good ANSWER within 1.5 s"
    assert {association.spi for host in (link.rome, link.milan) for association in host.out.values()} <= first
    assert link.rome.unkeyed <= 50
    sent_before = link.rome.sent
    link.run(3)  # past the hard lifetime, 6 s
    assert "EXPIRED_SA" in link.rome.names() & link.milan.names()
    expired_ns = next(at_ns for at_ns, verdict, _ in link.rome.alarms if verdict is Verdict.EXPIRED_SA)
    assert 6 * S <= expired_ns <= 6 * S + 100 * MS
    stopped = link.rome.sent
    assert stopped > sent_before
    link.run(2)
    assert link.rome.sent == stopped
    with pytest.raises(SequenceExhausted, match="is at its hard lifetime: it is 6 s old"):
        link.rome.out[0].encrypt(b"order", 4)
    link.harm = unharmed
    link.run(2)
    assert link.rome.sent > stopped
    link.settle()
    assert link.lost() == 0
    assert not link.rome.refused + link.milan.refused


def test_nobody_sends_what_the_other_end_holds_for_expired() -> None:
    """milan gets the CONFIRM a second after rome has installed: its keys die no later than rome's for all that."""
    link = Link(replace(TERMS, grace_ns=100 * MS))
    link.run(2)
    confirms: list[int] = []

    def late(datagram: bytes) -> list[tuple[int, bytes]]:
        if len(confirms) < 3:
            confirms.extend([1] * (kind(datagram) is Kind.CONFIRM))
            return [] if kind(datagram) is Kind.CONFIRM else unharmed(datagram)
        return unharmed(datagram) if link.milan.end.counts.completed == 1 else []

    link.harm = late
    link.run(9)
    assert len(confirms) == 3
    assert link.milan.end.counts.completed == 2
    assert "EXPIRED_SA" in link.rome.names() & link.milan.names()
    link.settle()
    assert not link.rome.refused + link.milan.refused
    assert link.lost() == 0


@pytest.mark.parametrize("profile", ["classic", "eu-hybrid"])
def test_an_altered_rekey_is_reported_and_changes_nothing(profile: str) -> None:
    """Every datagram has one bit flipped, somewhere behind the marker, so that each attempt meets other bits."""
    link = Link(profile=profile)
    link.run(1)
    keys = {dscp: association.spi for dscp, association in link.rome.out.items()}
    chance = random.Random(7)

    def alter(datagram: bytes) -> list[tuple[int, bytes]]:
        changed = bytearray(datagram)
        changed[chance.randrange(4, len(changed))] ^= 1 << chance.randrange(8)
        return [(0, bytes(changed))]

    link.harm = alter
    link.run(4.8)
    assert {dscp: association.spi for dscp, association in link.rome.out.items()} == keys
    assert link.rome.end.counts.completed == link.milan.end.counts.completed == 1
    assert "KEX_FAIL" in link.rome.names()
    assert link.rome.names() | link.milan.names() <= {"KEX_FAIL", "DOWNGRADE"}
    link.harm = unharmed
    link.run(3)
    link.settle()
    assert link.rome.end.counts.completed >= 2
    assert link.lost() == 0


def test_recorded_exchanges_played_again_make_no_keys() -> None:
    link = Link()
    link.run(5)
    recorded = list(link.kex)
    chance = random.Random(3)
    installed = {name: set(host.installed) for name, host in link.hosts.items()}
    current = link.milan.end.current
    link.rome.end._not_before_ns = 1 << 62  # no exchange of rome's own meanwhile
    chance.shuffle(recorded)
    for destination, datagram in recorded:
        link.inject(destination, datagram)
        link.inject("rome" if destination == "milan" else "milan", datagram)
    link.run(1)
    assert {name: set(host.installed) for name, host in link.hosts.items()} == installed
    assert link.milan.end.current is current
    assert all(responder.complete for responder in link.milan.end._half_open)  # old offers cost no answer
    link.settle()
    assert link.lost() == 0


def test_a_flood_of_offers_leaves_few_half_open_and_the_true_one_passes() -> None:
    link = Link()
    link.run(1)
    offer = next(datagram for _, datagram in link.kex if kind(datagram) is Kind.OFFER)
    generation = offer.index(b"milan") + 5

    def forge() -> None:
        for number in range(3):
            false = bytearray(offer)
            false[8:16] = random.Random(link.clock.time_ns + number).randbytes(8)
            false[generation : generation + 4] = b"\x7f\xff\xff\xff"
            link.inject("milan", bytes(false))

    link.run(4, forge)
    assert len(link.milan.end._half_open) <= MOST_HALF_OPEN + 3
    assert link.rome.end.counts.completed >= 2
    assert "KEX_FAIL" in link.milan.names()  # it is an attack, and it is told
    link.settle()
    assert link.lost() == 0


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"soft_packets": 100, "hard_packets": 200}, "it has sent 200 packets"),
        ({"soft_bytes": 4_000, "hard_bytes": 8_000}, "it has protected 8016 bytes"),
    ],
)
def test_volume_asks_for_new_keys_and_at_last_stops(limits: dict[str, int], told: str) -> None:
    """100 packets of 40 bytes a second and class, and the dummy of 16 bytes at each switch."""
    link = Link(with_lifetime(soft_ns=600 * S, hard_ns=1200 * S, **limits))
    link.run(10.5)
    assert 8 <= link.rome.end.counts.completed <= 11
    assert link.lost() == 0
    assert link.rome.alarms == []
    link.harm = lambda _: []
    link.run(4)
    stopped = [detail for _, verdict, detail in link.rome.alarms if verdict is Verdict.SEQ_EXHAUSTED]
    assert len(stopped) == 1
    assert told in stopped[0]
    for association in (*link.rome.out.values(), *link.milan.out.values()):
        assert association.sequence <= limits.get("hard_packets", 1 << 31)
        assert association.plain_bytes < limits.get("hard_bytes", 1 << 38) + 40
        with pytest.raises(SequenceExhausted):
            association.encrypt(bytes(40))
    link.settle()
    assert link.lost() == 0


def test_replayed_data_do_not_age_a_key() -> None:
    link = Link(with_lifetime(soft_packets=300, hard_packets=600))
    link.run(1)
    association = link.milan.installed[link.rome.out[0].spi]
    before = association.packets
    packet = link.rome.out[0].encrypt(bytes(40))
    assert association.deliver(packet) is not None
    for _ in range(400):
        assert association.deliver(packet) is None
    assert association.packets == before + 1


def test_lifetimes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="soft_ns 5 and hard_ns 5: use 0 < soft < hard"):
        Lifetime(5, 5)
    with pytest.raises(ConfigurationError, match="soft_packets 0"):
        Lifetime(1, 2, soft_packets=0)
    with pytest.raises(ConfigurationError, match="a hard lifetime of 10 s is refused: one exchange may take 15 s"):
        Terms(Lifetime(S, 10 * S), S)
    assert replace(TERMS, timing=Timing(S // 10, 5)).timing.limit_ns == 3_100 * MS
