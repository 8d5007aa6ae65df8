"""When a session calls itself invalid, and whose alarm an alarm is."""

from __future__ import annotations

import errno
import itertools
from typing import Any

import pytest

from traffic.errors import SequenceExhausted
from traffic.flows import Flow
from traffic.keys import Association, make_associations
from traffic.receiver import Receiver
from traffic.sender import Announcement, FlowState, Sender, Transmit
from traffic.summary import summarise
from traffic.verdicts import Judgement, Verdict

S = 10**9
FLOW = Flow("call", "voice", "rome", "milan", 46, 50, 172, 0, S)
OTHER = Flow("upload", "bulk", "rome", "milan", 0, 10, 172, 0, S)
MILAN = ("192.0.2.2", 4500)


class Session:
    """The parts of a session, without sockets: what was sent is stamped 1 ms after it was due."""

    def __init__(self, transmit: Transmit = lambda _address, _number: None, given: Any = ()) -> None:
        classes = [("rome", "milan", 46), ("rome", "milan", 0), ("rome", "milan", 10)]  # the last is of no flow
        self.associations: dict[tuple[str, str, int], Association] = make_associations(classes)
        self.peers = {("rome", "milan"): MILAN, **dict(given)}
        spis = {sa.spi: sa.src for sa in self.associations.values()}
        self.receiver = Receiver({"milan": None}, {}, spis, self.peers, 0)  # type: ignore[dict-item]
        states = [FlowState(flow, S, transmit) for flow in (FLOW, OTHER)]
        self.sender = Sender(states, [Announcement("rome", "milan", transmit)], {}, self.peers, -S)
        self.sender._stamped["rome"] = []

    def send_all(self, *, stamp: bool = True) -> None:
        while (due_ns := self.sender.next_ns) is not None and due_ns < S:
            self.sender.send_next()
        for state in self.sender.flows if stamp else ():
            for number, due_ns in enumerate(state.due_ns):
                state.tx_ns[number] = due_ns + 1_000_000

    def arrive(self, verdict: Verdict, dscp: int | None = None, **known: Any) -> None:
        spi = None if dscp is None else self.associations["rome", "milan", dscp].spi
        self.receiver._record("milan", Judgement(verdict, spi, **known), 5 * S)

    def learned(self) -> dict[tuple[str, str], tuple[str, int]]:
        return {pair: address for pair, address in self.peers.items() if pair != ("rome", "milan")}

    def document(self, clock_step_ns: int = 0) -> dict[str, Any]:
        return summarise(self.sender, self.receiver, self.associations, clock_step_ns, 0)[0]


def test_a_quiet_session_is_valid() -> None:
    session = Session()
    session.send_all()
    document = session.document()
    assert (document["valid"], document["invalid_reasons"]) == (True, [])
    assert [flow["sent"] for flow in document["flows"]] == [50, 10]
    assert document["pacing_ms"] == {"p50": 1.0, "p99": 1.0}
    assert [flow["integrity"]["verdict"] for flow in document["flows"]] == ["intact", "intact"]


def test_a_flow_that_left_as_declared_has_no_limit() -> None:
    session = Session()
    session.send_all()
    rate = session.document()["flows"][0]["rate"]
    assert rate == {"declared_pps": 50, "achieved_pps": 50.0, "due": 50, "in_time": 50, "limited_by": None}


def test_a_flow_that_its_generator_could_not_keep_up_with_says_so() -> None:
    session = Session()
    session.send_all()
    call = session.sender.flows[0]
    for number in range(len(call.tx_ns)):
        call.tx_ns[number] += number * 2_000_000  # each packet takes 22 ms instead of 20
    document = session.document()
    rate = document["flows"][0]["rate"]
    assert (rate["achieved_pps"], rate["in_time"], rate["limited_by"]) == (45.455, 10, "generator")
    assert document["flows"][1]["rate"]["limited_by"] is None
    assert any("starved of CPU" in reason for reason in document["invalid_reasons"])


def test_packets_that_were_due_and_never_sent_are_the_generators_unless_there_was_no_key() -> None:
    session = Session()
    for _ in range(40):
        session.sender.send_next()  # and then the time is over
    assert session.document()["flows"][0]["rate"]["limited_by"] == "generator"
    keyless = Session()
    for state in keyless.sender.flows:
        state.ready = lambda: False
    keyless.send_all()
    rate = keyless.document()["flows"][0]["rate"]
    assert (rate["due"], rate["in_time"], rate["limited_by"]) == (50, 0, None)


def test_a_clock_that_was_set_makes_it_invalid() -> None:
    assert Session().document(clock_step_ns=900_000)["valid"]
    reasons = Session().document(clock_step_ns=2_000_000)["invalid_reasons"]
    assert reasons == ["the clock was set during the session, by 2.0 ms"]


def test_stamps_of_foreign_packets_make_it_invalid() -> None:
    session = Session()
    session.sender.surplus_stamps = 3
    assert "3 time stamps belong to packets that the session did not send" in session.document()["invalid_reasons"]


def test_one_missing_stamp_in_a_thousand_is_tolerated() -> None:
    session = Session()
    session.send_all()
    session.sender.flows[0].tx_ns[7] = -1
    assert session.document()["invalid_reasons"] == ["1 of 60 packets lack a kernel time stamp"]
    for _ in range(1000):
        session.sender.flows[1].due_ns.append(0)
        session.sender.flows[1].tx_ns.append(0)
    assert session.document()["valid"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SequenceExhausted("SPI 0x1 has sent its last sequence number"), "SPI 0x1 has sent its last sequence number"),
        (OSError(errno.ENOBUFS, "No buffer space available"), "the kernel refused a packet to milan: No buffer space"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), None),
    ],
)
def test_refused_packets(error: Exception, reason: str | None) -> None:
    def refuse(_address: tuple[str, int], _number: int) -> None:
        raise error

    session = Session(refuse)
    session.send_all(stamp=False)
    reasons = session.document()["invalid_reasons"]
    assert [flow["lost"] for flow in session.document()["flows"]] == [50, 10]
    assert (reasons == []) if reason is None else any(reason in line for line in reasons)


def test_alarms_belong_to_their_association_and_outrank_an_invalid_measurement() -> None:
    session = Session()
    session.send_all()
    session.arrive(Verdict.FORGED, 46, detail="integrity check failed")
    session.arrive(Verdict.GENUINE, 0, flow=1, sequence=3)
    session.arrive(Verdict.LATE_OUTSIDE_WINDOW, 0, flow=1, sequence=4)
    session.arrive(Verdict.REPLAY_OLD, 10)
    session.arrive(Verdict.PLAINTEXT_IN)
    document = session.document(clock_step_ns=S)
    call, upload = document["flows"]
    assert call["integrity"] == {"verdict": "attacked", "counts": {"GENUINE": 0, "FORGED": 1}}
    assert upload["integrity"] == {"verdict": "invalid", "counts": {"GENUINE": 1, "LATE_OUTSIDE_WINDOW": 1}}
    assert upload["received"] == 1
    assert document["unattributed"] == {"milan": {"REPLAY_OLD": 1, "PLAINTEXT_IN": 1}}
    assert [alarm["verdict"] for alarm in document["alarms"]] == ["FORGED", "REPLAY_OLD", "PLAINTEXT_IN"]
    assert document["alarms"][0]["host"] == "milan"
    assert "integrity check failed" in document["alarms"][0]["detail"]


def test_a_hundred_alarms_are_kept_and_all_are_counted() -> None:
    session = Session()
    for _ in range(250):
        session.arrive(Verdict.UNKNOWN_SPI)
    document = session.document()
    assert (len(document["alarms"]), document["alarm_count"]) == (100, 250)
    assert document["unattributed"] == {"milan": {"UNKNOWN_SPI": 250}}


def test_addresses_given_stay_as_they_are() -> None:
    session = Session(given={("milan", "rome"): ("192.0.2.1", 4500)})
    session.arrive(Verdict.GENUINE, 46, esp_sequence=1, source=(bytes([192, 0, 2, 9]), 1024))
    assert session.learned() == {("milan", "rome"): ("192.0.2.1", 4500)}


def test_addresses_are_learned_from_the_newest_genuine_packets_alone() -> None:
    session = Session()
    for verdict in (Verdict.REPLAY_IN_WINDOW, Verdict.FORGED, Verdict.LATE_OUTSIDE_WINDOW, Verdict.TRUNCATED):
        session.arrive(verdict, 46, esp_sequence=9, source=(bytes([10, 0, 0, 1]), 1))
    session.arrive(Verdict.GENUINE, 46, esp_sequence=3, source=(bytes(16), 2))  # outer IPv6: sessions run over IPv4
    assert session.learned() == {}
    session.arrive(Verdict.GENUINE, 46, esp_sequence=4, source=(bytes([192, 0, 2, 9]), 1024))
    assert session.learned() == {("milan", "rome"): ("192.0.2.9", 1024)}
    session.arrive(Verdict.GENUINE, 46, esp_sequence=6, source=(bytes([192, 0, 2, 66]), 666))  # through another NAT
    session.arrive(Verdict.GENUINE, 46, esp_sequence=5, source=(bytes([192, 0, 2, 9]), 1024))  # late, by the old one
    assert session.learned() == {("milan", "rome"): ("192.0.2.66", 666)}


def test_announcements_come_often_first_and_then_seldom() -> None:
    times: list[int] = []
    session = Session()
    sender = Sender(
        [], [Announcement("rome", "milan", lambda *_: times.append(sender.next_ns or 0))], {}, session.peers, 100
    )
    sender._stamped["rome"] = []
    for _ in range(13):
        sender.send_next()
    steps = [b - a for a, b in itertools.pairwise(times)]
    assert times[0] == 100
    assert steps == [200_000_000] * 9 + [20 * S] * 3
