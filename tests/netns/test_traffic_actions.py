"""Every certain class, 500 acts and more of each: carried out on a router, judged by the real receiver behind it.

No class is right by its share: each count must be exact.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from traffic_diverter import diverter, working
from traffic_hosts import MILAN, ROME, routed
from traffic_lab import Lab

from traffic.adversary import Crossing, open_router, run_adversary
from traffic.attacks import ACTIONS, Action, Sending
from traffic.caught import Caught
from traffic.esp import SMALLEST_BYTES, InboundSa
from traffic.insider import LEFT, Insider
from traffic.keys import Association
from traffic.lint import Protection
from traffic.memory import Memory
from traffic.packets import CANARY_BYTES, InnerFlow, InnerPackets
from traffic.sender import SecureSocket
from traffic.threat import Threat
from traffic.timestamps import open_tap, open_udp, receive, tap_statistics
from traffic.verdicts import Content, InboundEndpoint, Verdict

pytestmark = pytest.mark.netns

ACTS = 500
FOLLOWERS = 80  # more than the window of 64
SPI, NEXT_SPI = 0x0A0B0C0D, 0x1A1B1C1D
CANARY = bytes(range(CANARY_BYTES))
INNER = InnerFlow("10.64.0.1", "10.64.1.1", 0, 0, CANARY, 200)
FIGURES: dict[str, str] = {}


def association(spi: int = SPI, *, esn: bool = True, window: int = 1024) -> Association:
    return Association("rome", "milan", 0, spi, bytes(range(32)), b"salt", esn, window)


class Course:
    """rome sends, somebody at the router does what he does, and milan judges."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.udp = lab.within("rome", open_udp, ROME, 4500, no_checksum=True)
        self.tap = lab.within("milan", open_tap, "h-eth0")
        self.ledger = folder / "adversary.jsonl"
        self.number = 0

    def endpoint(self, sa: Association) -> InboundEndpoint:
        """A fresh receiver; what lies in the tap is forgotten."""
        receive(self.tap)
        tap_statistics(self.tap)
        self.ledger.unlink(missing_ok=True)
        return InboundEndpoint({sa.spi: sa.inbound()}, [Content(0, sa.spi, CANARY, False)])

    def send(self, sender: SecureSocket, count: int) -> None:
        packets = InnerPackets(INNER)
        for number in range(count):
            sender.send(packets.build(self.number), INNER.next_header, (MILAN, 4500))
            self.number += 1
            if number % 50 == 49:
                time.sleep(0.002)

    def acts(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.ledger.read_text().splitlines() if line.endswith("}")]

    def wait_for(self, count: int, condition: str = "") -> list[dict[str, Any]]:
        deadline = time.monotonic() + 20
        while len(self.acts()) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(self.acts()) >= count, condition
        return self.acts()

    def judged(self, endpoint: InboundEndpoint) -> Counter[Verdict]:
        """What milan calls all that has arrived; nothing may have been lost on the way."""
        time.sleep(0.02)
        found: Counter[Verdict] = Counter()
        for frame, _, time_ns in receive(self.tap):
            judgement = endpoint.judge(frame, time_ns)
            if judgement is not None:
                found[judgement.verdict] += 1
        assert tap_statistics(self.tap)[1] == 0
        found.update(judgement.verdict for judgement in endpoint.overdue(None))
        return found

    @contextlib.contextmanager
    def attacker(self, action: str, actions: tuple[Action, ...] = (), **settings: Any) -> Iterator[None]:
        """At the router, once he is at work."""
        threat = Threat(action, **({"every": 1} | settings))
        read, write = self.lab.within("router", open_tap, "r-eth0"), self.lab.within("router", open_router)
        ways, divert = [Crossing("rome", read, write)], diverter(self.lab, threat, actions)
        with working(lambda stop: run_adversary(threat, ways, stop, self.ledger, actions=actions, divert=divert)):
            yield


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    with Lab() as lab:
        routed(lab)
        lab.command("rome", f"ping -c 1 {MILAN}")
        yield Course(lab, tmp_path_factory.mktemp("course"))


def check(course: Course, name: str, found: Counter[Verdict], expected: dict[str, int], acts: int = ACTS) -> None:
    """Exactly these verdicts, and acts enough; how sure that makes: exact binomial, one-sided (Clopper-Pearson)."""
    assert {verdict.name: count for verdict, count in found.items()} == expected, name
    assert acts >= ACTS
    told = ", ".join(f"{count} {verdict}" for verdict, count in expected.items())
    FIGURES[name] = f"{acts} acts: {told}; all right, so at least {0.05 ** (1 / acts):.1%} are, at 95 %"


def belated(name: str) -> tuple[Action, ...]:
    """An action on the first 500 packets, whose sendings wait for 80 followers instead of a time: a machine may be
    slow."""
    action = ACTIONS[name]

    def act(caught: Caught, memory: Memory) -> list[Sending] | None:
        if memory.acts > ACTS:
            return None
        return [Sending(60, sending[1], FOLLOWERS) for sending in action.function(caught, memory) or ()]

    return (replace(action, function=act),)


def attack(course: Course, action: str, sent: int = ACTS, **settings: Any) -> Counter[Verdict]:
    """The verdicts of `sent` packets, each of which is attacked."""
    sa = association()
    endpoint = course.endpoint(sa)
    sender = SecureSocket(course.udp, sa)
    with course.attacker(action, **settings):
        course.send(sender, sent)
        course.wait_for(ACTS)
    return course.judged(endpoint)


IMMEDIATE = [
    ("replay-soon", ACTS, {"GENUINE": ACTS, "REPLAY_IN_WINDOW": ACTS}),
    ("bitflip", ACTS, {"FORGED": ACTS}),
    ("flip-iv", ACTS, {"FORGED": ACTS}),
    ("flip-icv", ACTS, {"FORGED": ACTS}),
    ("flip-sequence", ACTS, {"FORGED": ACTS, "GENUINE": ACTS}),
    ("flip-spi", ACTS, {"UNKNOWN_SPI": ACTS}),
    ("random", ACTS, {"FORGED": ACTS, "GENUINE": ACTS}),
    ("foreign-key", ACTS, {"FORGED": ACTS, "GENUINE": ACTS}),
    ("splice", ACTS + 1, {"FORGED": ACTS, "GENUINE": ACTS + 1}),
    ("plaintext", ACTS, {"PLAINTEXT_IN": ACTS, "GENUINE": ACTS}),
    ("short-icv", ACTS, {"FORGED": ACTS, "GENUINE": ACTS}),
    ("null-cipher", ACTS, {"FORGED": ACTS, "GENUINE": ACTS}),
    ("fragment-overlap", ACTS, {"FRAG_OVERLAP": ACTS}),
    ("fragment-gap", ACTS, {"FRAG_INCOMPLETE": ACTS}),
    ("fragment-flood", ACTS, {"FRAG_INCOMPLETE": 8 * ACTS, "GENUINE": ACTS}),
]


@pytest.mark.parametrize(("action", "sent", "expected"), IMMEDIATE, ids=[case[0] for case in IMMEDIATE])
def test_each_act_gets_its_name(course: Course, action: str, sent: int, expected: dict[str, int]) -> None:
    check(course, action, attack(course, action, sent), expected)


def test_this_check_can_fail(course: Course) -> None:
    """The same acts held against another action's name, or one act short."""
    found = attack(course, "flip-spi")
    for wrong in ({"FORGED": ACTS}, {"UNKNOWN_SPI": ACTS - 1}):
        with pytest.raises(AssertionError, match="swapped"):
            check(course, "swapped", found, wrong)
    assert "swapped" not in FIGURES


def test_truncation_at_every_length(course: Course) -> None:
    found = attack(course, "truncate")
    lengths = [act["sent"][0] - 28 for act in course.acts()]  # of ESP
    whole = max(act["bytes"] for act in course.acts()) - 28
    assert set(lengths) == set(range(whole))
    short = sum(length < SMALLEST_BYTES or length % 4 > 0 for length in lengths)
    check(course, "truncate", found, {"TRUNCATED": short, "FORGED": ACTS - short})


@pytest.mark.parametrize(("esn", "begin"), [(False, 0), (True, 0), (True, (1 << 32) - ACTS - 20)])
def test_late_replays_are_old_in_whatever_epoch(course: Course, esn: bool, begin: int) -> None:
    """With ESN from near 2³²: the copies fail with the inferred upper half, and are no forgeries."""
    sa = association(esn=esn, window=64)
    endpoint, sender = course.endpoint(sa), SecureSocket(course.udp, sa)
    endpoint._associations[SPI] = InboundSa(SPI, sa.key, sa.salt, esn=esn, window=64, highest=begin)
    sender._sa.sequence = begin
    with course.attacker("replay-late", belated("replay-late")):
        course.send(sender, ACTS + 100)
        course.wait_for(ACTS)
    name = f"replay-late, {'ESN' if esn else 'no ESN'}{', next epoch' if begin else ''}"
    check(course, name, course.judged(endpoint), {"GENUINE": ACTS + 100, "REPLAY_OLD": ACTS})


def test_genuine_packets_that_come_too_late_raise_no_alarm(course: Course) -> None:
    sa = association(window=64)
    endpoint, sender = course.endpoint(sa), SecureSocket(course.udp, sa)
    with course.attacker("hold", belated("hold")):
        course.send(sender, ACTS + 100)
        course.wait_for(ACTS)
    check(course, "late, genuine", course.judged(endpoint), {"LATE_OUTSIDE_WINDOW": ACTS, "GENUINE": 100})


def test_recorded_traffic_of_a_retired_association(course: Course) -> None:
    sa, following = association(), association(NEXT_SPI)
    endpoint = course.endpoint(sa)
    with course.attacker("expired", silent_s=0.3):
        course.send(SecureSocket(course.udp, sa), ACTS)
        found = course.judged(endpoint)
        endpoint.install(following.inbound(), SPI)
        endpoint.retire(SPI, time.time_ns())
        time.sleep(0.4)
        course.send(SecureSocket(course.udp, following), ACTS)
        course.wait_for(ACTS)
    found += course.judged(endpoint)
    check(course, "expired", found, {"GENUINE": 2 * ACTS, "EXPIRED_SA": ACTS})


INSIDERS = [
    ("nonce-reuse", True, {"NONCE_REUSE": ACTS, "GENUINE": ACTS}),
    ("plaintext-leak", True, {"PLAINTEXT_LEAK": ACTS, "GENUINE": ACTS}),
    ("no-esn", True, {"DOWNGRADE": ACTS, "GENUINE": ACTS}),
]


@pytest.mark.parametrize(("name", "esn", "expected"), INSIDERS, ids=[case[0] for case in INSIDERS])
def test_each_misdeed_of_an_endpoint_gets_its_name(
    course: Course, name: str, esn: bool, expected: dict[str, int]
) -> None:
    sa = association(esn=esn)
    endpoint = course.endpoint(sa)
    sender = Insider(name, 2, course.ledger, [course.udp]).socket(course.udp, sa)
    course.send(sender, 2 * ACTS)
    check(course, name, course.judged(endpoint), expected, len(course.acts()))


WEAK = (
    Protection(suite="NULL"),
    Protection(suite="AES-128-CBC"),
    Protection(icv_bytes=8),
    Protection(window=0),
    Protection(esn=False),
    Protection(random_ivs=True),
)


def test_offers_below_the_policy_are_refused_and_so_is_all_that_comes_under_them(course: Course) -> None:
    endpoint = course.endpoint(association())
    for number in range(ACTS):
        offered = endpoint.offer(NEXT_SPI + number, WEAK[number % len(WEAK)])
        assert offered is not None
        assert offered.verdict is Verdict.DOWNGRADE
        course.send(SecureSocket(course.udp, association(NEXT_SPI + number)), 1)
        if number % 50 == 49:
            time.sleep(0.002)
    check(course, "weak offers, and data", course.judged(endpoint), {"DOWNGRADE": ACTS})


def test_an_endpoint_that_goes_on_after_its_last_number(course: Course) -> None:
    sa = association(esn=False)
    endpoint = course.endpoint(sa)
    sender = Insider("sequence-wrap", 1, course.ledger, [course.udp]).socket(course.udp, sa)
    course.send(sender, ACTS + LEFT)
    found = {"GENUINE": LEFT, "SEQ_EXHAUSTED": ACTS}
    check(course, "sequence-wrap", course.judged(endpoint), found, len(course.acts()))


def test_all_certain_classes_were_tried(request: pytest.FixtureRequest) -> None:
    """The figures, for who asks with -rP."""
    if request.config.getoption("keyword") or any("::" in asked for asked in request.config.args):
        pytest.skip("only a part of them was asked for")
    for name, figure in FIGURES.items():
        sys.stdout.write(f"{name:28} {figure}\n")
    assert len(FIGURES) == len(IMMEDIATE) + len(INSIDERS) + 8
