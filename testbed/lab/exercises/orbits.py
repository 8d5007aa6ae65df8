"""Labs 1 to 3: a first run, reading a plan, a handover under the microscope."""

from __future__ import annotations

from typing import Any, Final

from testbed.ground.constants import NS_PER_S, SPEED_OF_LIGHT_M_S
from testbed.lab.exercises import rules
from testbed.lab.exercises.grading import Judgement, Lab, Rule
from testbed.lab.exercises.submission import Submission
from testbed.plan.model import Event, Plan

SYSTEM: Final = "starlink-italy"
TERMINAL: Final = "ut-rome"
PAIR: Final = ("rome", "dc-rome")
NEAR_MS: Final = 1.0
"""A round trip may be off by so much: a plan's median and a run's differ by where the probes fell."""


def _user_link(plan: Plan) -> tuple[int, float] | None:
    """Delay, ns, and range, m, from Rome's terminal up at the beginning."""
    nodes = rules.way(plan, *PAIR)
    return rules.hop_ns(plan, TERMINAL, nodes[2]) if len(nodes) > 2 else None


def _satellite(handed: Submission) -> tuple[str, ...]:
    return rules.way(handed.plan, *PAIR)[2:3]


def _gateway(handed: Submission) -> tuple[str, ...]:
    return tuple(node for node in rules.way(handed.plan, *PAIR) if node.startswith("gw-"))


def _range_km(handed: Submission) -> float | None:
    link = _user_link(handed.plan)
    return link[1] / 1e3 if link else None


def _light_ms(handed: Submission) -> float | None:
    link = _user_link(handed.plan)
    return link[1] / SPEED_OF_LIGHT_M_S * 1e3 if link else None


def _added_ms(handed: Submission) -> float | None:
    link, light_ms = _user_link(handed.plan), _light_ms(handed)
    return link[0] / 1e6 - light_ms if link and light_ms is not None else None


def _handovers(plan: Plan, terminal: str) -> list[Event]:
    return [event for event in plan.events if event.kind == "handover" and event.node == terminal]


def _first_handover_s(handed: Submission) -> float | None:
    found = _handovers(handed.plan, TERMINAL)
    return found[0].time_ns / NS_PER_S if found else None


FIRST_RUN: Final = Lab(
    1,
    "First run",
    "01-first-run.md",
    "run",
    (
        rules.topology(SYSTEM),
        rules.seed(),
        rules.duration(15),
        rules.passed(3),
        rules.number(
            "satellites_used",
            1,
            lambda handed: float(handed.plan.satellites_used),
            0,
            "it is in the report's head, '… of … satellites used'",
        ),
        rules.number(
            "handovers", 1, lambda handed: float(handed.plan.handovers), 0, "it is in the report's head, '… handovers'"
        ),
        rules.number(
            "round_trip_ms",
            2,
            lambda handed: rules.round_trip_ms(handed.plan, *PAIR),
            NEAR_MS,
            "add the planned delays rome → dc-rome and dc-rome → rome in the table of paths",
        ),
    ),
)

READING_A_PLAN: Final = Lab(
    2,
    "Reading a plan",
    "02-reading-a-plan.md",
    "plan",
    (
        rules.topology(SYSTEM),
        rules.seed(),
        rules.duration(60),
        rules.word("satellite", 1, _satellite, "column b of the first row that begins at ut-rome"),
        rules.word("gateway", 1, _gateway, "the first row from that satellite to a gateway"),
        rules.number("range_km", 1, _range_km, 0.5, "column range_km of the first row that begins at ut-rome"),
        rules.number("light_ms", 1, _light_ms, 0.02, "the range over the speed of light in vacuum"),
        rules.number("added_ms", 2, _added_ms, 0.03, "the row's one-way delay less what light takes"),
        rules.number(
            "handover_s",
            1,
            _first_handover_s,
            0.5,
            "seconds from the plan's start to the first row in which ut-rome has another satellite",
        ),
    ),
)


def _captured(handed: Submission) -> Judgement:
    """A capture of the data centre's side that holds something."""
    file = handed.where / "pcap" / "dc-rome.pcap"
    size = file.stat().st_size if file.is_file() else 0
    return size > _PCAP_HEADER_BYTES, f"{size:,} bytes" if size else "no pcap/dc-rome.pcap: run with --pcap"


_PCAP_HEADER_BYTES: Final = 24
"""An empty capture has this header alone (pcap, draft-ietf-opsawg-pcap)."""


def _looked_at(handed: Submission) -> list[Event]:
    """The handovers of the terminal that the student chose, ut-rome where none is named."""
    return _handovers(handed.plan, str(handed.answers.get("terminal", TERMINAL)))


def _terminal(handed: Submission) -> tuple[str, ...]:
    return tuple({event.node for event in handed.plan.events if event.kind == "handover"})


def _nearest_s(handed: Submission) -> float | None:
    given = float(handed.answers["handover_s"])
    return min((event.time_ns / NS_PER_S for event in _looked_at(handed)), key=lambda s: abs(s - given), default=None)


def _chosen(handed: Submission) -> Event | None:
    """The handover that the student's time means."""
    if "handover_s" not in handed.answers:
        return None
    at_s = _nearest_s(handed)
    return next((event for event in _looked_at(handed) if event.time_ns / NS_PER_S == at_s), None)


def _to(handed: Submission) -> tuple[str, ...]:
    event = _chosen(handed)
    return (str(event.detail["to"]),) if event else ()


def _call(handed: Submission) -> dict[str, Any] | None:
    """The call up of the terminal that the student chose, as the report has it."""
    name = f"voice-{str(handed.answers.get('terminal', TERMINAL)).removeprefix('ut-')}-up"
    return next((flow for flow in handed.report["flows"] if flow["name"] == name), None)


def _silence_ms(handed: Submission) -> float | None:
    call = _call(handed) or {}
    found = [around["silence_ms"] for around in call.get("measures", {}).get("handovers", ())]
    return max((ms for ms in found if ms is not None), default=None)


def _lost(handed: Submission) -> float | None:
    call = _call(handed)
    return None if call is None else float(call["lost"])


HANDOVER: Final = Lab(
    3,
    "A handover under the microscope",
    "03-a-handover.md",
    "run",
    (
        rules.topology(SYSTEM),
        rules.seed(),
        rules.parameter("order", "drop"),
        Rule("capture", 1, _captured),
        rules.word("terminal", 1, _terminal, "a terminal that changes its satellite in this run, like ut-rome"),
        rules.number(
            "handover_s",
            1,
            _nearest_s,
            0.1,
            "the first column of 'testbed events' for that terminal",
        ),
        rules.word("to", 1, _to, "the satellite behind the arrow, in 'testbed events'"),
        rules.number("lost", 1, _lost, 0, "table of flows, row voice-…-up of that terminal", measured=True),
        rules.number("silence_ms", 2, _silence_ms, 2, "last column of the row voice-…-up, in ms", measured=True),
    ),
)
