"""Labs 4 to 8: an attacker, an earthquake, a frigate, three systems side by side, a topology of one's own."""

from __future__ import annotations

from collections import Counter
from statistics import fmean
from typing import Any, Final

import numpy as np

from testbed.lab.exercises import rules
from testbed.lab.exercises.grading import Judgement, Lab, Rule
from testbed.lab.exercises.orbits import NEAR_MS, SYSTEM
from testbed.lab.exercises.submission import Submission
from testbed.report.words import CAUGHT_AS, HARMLESS

FEWEST_ACTS: Final = 5
"""An attacker who acted less often proves little."""


def _action(handed: Submission) -> list[str]:
    """What the attacker of the run was to do."""
    return str(handed.plan.traffic.get("adversary", "none")).split("+")


def _attacked(handed: Submission) -> Judgement:
    acts = [act for act in handed.acts if "error" not in act]
    tamed = [word for word in _action(handed) if not CAUGHT_AS.get(word)]
    if tamed:
        return False, f"adversary={tamed[0]}: choose one that is to be noticed, like bitflip"
    return len(acts) >= FEWEST_ACTS, f"{len(acts)} acts" + (
        "" if len(acts) >= FEWEST_ACTS else f": at least {FEWEST_ACTS}"
    )


def _names(handed: Submission) -> Counter[str]:
    """How often each verdict name was given to a packet, harmless ones apart."""
    counts: Counter[str] = Counter()
    for flow in handed.report["flows"]:
        counts.update(flow["integrity"]["counts"])
    for unattributed in handed.report["unattributed"].values():
        counts.update(unattributed)
    return Counter({name: count for name, count in counts.items() if count and name not in HARMLESS})


def _answering(handed: Submission) -> tuple[str, ...]:
    """The names in the run that answer the attacker's acts."""
    fitting = {name for word in _action(handed) for name in CAUGHT_AS.get(word, ())}
    return tuple(name for name in _names(handed) if name in fitting)


def _caught(handed: Submission) -> Judgement:
    """Alarms stand also where the machine was too busy to judge delays by."""
    found, wrong = _answering(handed), set(_names(handed)) - set(_answering(handed))
    if not found:
        return False, "no packet was named as this attack is"
    if wrong:
        return False, f"also {', '.join(sorted(wrong))}, which this attack does not explain"
    return True, ", ".join(f"{name} {_names(handed)[name]:,} times" for name in found)


def _sent_on(handed: Submission) -> tuple[str, ...]:
    """The satellite's level in the exposure matrix; 'metadata' as long as the cipher holds."""
    nodes = (handed.report.get("exposure") or {}).get("nodes", ())
    levels = {flow["level"] for node in nodes if node["operated_by"] == "space" for flow in node["flows"]}
    return next(((word,) for word in ("payload", "metadata", "nothing") if word in levels), ())


BREAK_IN: Final = Lab(
    4,
    "Break the encryption (and fail)",
    "04-break-the-encryption.md",
    "run",
    (
        rules.topology(SYSTEM),
        rules.seed(),
        Rule("attacker", 2, _attacked, measured=True, alarm=True),
        Rule("caught", 3, _caught, measured=True, alarm=True),
        rules.word(
            "verdict_name",
            2,
            _answering,
            "the name that the report gives to the attacked packets",
            measured=True,
            alarm=True,
        ),
        rules.word(
            "satellite_reads",
            1,
            _sent_on,
            "the table 'What a listener reads', rows of the satellites",
            measured=True,
            alarm=True,
        ),
    ),
)

PHONE: Final = "amatrice"
ROOM: Final = "alarm"


def _up_kbps(handed: Submission) -> float | None:
    rate_bps = rules.hop_bps(handed.plan, f"ut-{PHONE}")
    return None if rate_bps is None else rate_bps / 1e3


def _shared_kbps(phones: int) -> Any:
    """What each of so many phones would have: the beam's rate, divided evenly."""

    def truth(handed: Submission) -> float | None:
        up_kbps, sharing = _up_kbps(handed), handed.plan.manifest["parameters"].get("sharing")
        return None if up_kbps is None or not sharing else up_kbps * sharing / phones

    return truth


def _alerted(handed: Submission) -> Judgement:
    """Each phone has the alert, every time within its deadline."""
    shares = {flow["dst"]: (flow.get("deadlines") or {}).get("share") for flow in handed.report["flows"]
              if flow["kind"] == "alert"}  # fmt: skip
    missed = [phone for phone, share in shares.items() if share != 1.0]
    if not shares or missed:
        return False, f"not in time at {', '.join(missed)}" if missed else "the run has no alert"
    return True, f"in time at {', '.join(shares)}"


EARTHQUAKE: Final = Lab(
    5,
    "Direct-to-cell in an earthquake",
    "05-earthquake.md",
    "run",
    (
        rules.topology("direct-to-cell"),
        rules.seed(),
        rules.duration(15),
        rules.parameter("judged", True),
        Rule("alerts", 2, _alerted, measured=True),
        rules.number(
            "round_trip_ms",
            2,
            lambda handed: rules.round_trip_ms(handed.plan, PHONE, ROOM),
            NEAR_MS,
            "add the planned delays amatrice → alarm and alarm → amatrice",
        ),
        rules.number("up_kbps", 1, _up_kbps, 0.5, "column rate_bps of ut-amatrice's rows in the plan's table"),
        rules.number("up_kbps_of_80", 1, _shared_kbps(80), 0.5, "the same with -p sharing=80"),
    ),
)

SHIP: Final = "frigate-e"
HEADQUARTERS: Final = "hq-rome"


def _jammed(handed: Submission) -> Judgement:
    """The plan takes packets from the frigate's user link for a time, and from no other's."""
    plan = handed.plan
    lossy = {plan.links[int(row["link"])] for row in plan.steps[plan.steps["loss"] > 0]}
    ships = {end for link in lossy for end in (link.a, link.b) if end.startswith("ut-")}
    return ships == {f"ut-{SHIP}"}, f"jammed: {', '.join(sorted(ships)) or 'nobody, run with -p jamming=…'}"


def _loss_percent(handed: Submission) -> float | None:
    loss = float(np.max(handed.plan.steps["loss"], initial=0.0))
    return 100 * loss if loss else None


def _lasers(handed: Submission) -> float | None:
    plan = handed.plan
    nodes = [node for node in rules.way(plan, SHIP, HEADQUARTERS) if plan.node(node).role == "satellite"]
    return len(nodes) - 1.0 if nodes else None


def _ship_gateway(handed: Submission) -> tuple[str, ...]:
    return tuple(node for node in rules.way(handed.plan, SHIP, HEADQUARTERS) if node.startswith("gw-"))


def _suffered(handed: Submission) -> tuple[str, ...]:
    """Flows of the frigate that lost packets."""
    return tuple(flow["name"] for flow in handed.report["flows"] if flow["lost"] and SHIP in (flow["src"], flow["dst"]))


FRIGATE: Final = Lab(
    6,
    "A frigate in the eastern Mediterranean",
    "06-a-frigate.md",
    "run",
    (
        rules.topology("mediterranean"),
        rules.seed(),
        rules.duration(15),
        Rule("jamming", 2, _jammed),
        rules.number("lasers", 1, _lasers, 0, "links between satellites on the way of frigate-e: satellites less one"),
        rules.word("gateway", 1, _ship_gateway, "the gw-… on the way of frigate-e"),
        rules.number("loss_percent", 1, _loss_percent, 0.5, "the largest value of column loss in the plan's table"),
        rules.number(
            "round_trip_ms",
            1,
            lambda handed: rules.round_trip_ms(handed.plan, SHIP, HEADQUARTERS),
            2 * NEAR_MS,
            "add the planned delays frigate-e → hq-rome and back",
        ),
        rules.word("suffered", 1, _suffered, "a flow of frigate-e with lost packets", measured=True),
    ),
)

COMPARED: Final = ("starlink-italy", "iris2", "terrestrial")


def _complete(handed: Submission) -> Judgement:
    missing = [name for name in COMPARED if handed.cells.get(name, {}).get("ended") != "complete"]
    return not missing, f"no finished run of {', '.join(missing)}" if missing else ", ".join(COMPARED)


def _all_passed(handed: Submission) -> Judgement:
    failed = [name for name in COMPARED if handed.cells.get(name, {}).get("verdict") != "pass"]
    return not failed, f"not passed: {', '.join(failed)}" if failed else "all passed"


def _mean_ms(handed: Submission, system: str) -> float | None:
    """The planned round trip, mean of the pairs."""
    found = [row["planned_ms"] for row in handed.cells.get(system, {}).get("round_trips", ())]
    return fmean(found) if found and None not in found else None


def _quickest(handed: Submission) -> tuple[str, ...]:
    means = {name: ms for name in COMPARED if (ms := _mean_ms(handed, name)) is not None}
    return (min(means, key=lambda name: means[name]),) if len(means) == len(COMPARED) else ()


def _ratio(handed: Submission) -> float | None:
    over, under = _mean_ms(handed, "iris2"), _mean_ms(handed, "terrestrial")
    return over / under if over is not None and under else None


def _named(fact: str, text: str) -> Any:
    """The systems of which a fact of sovereignty mentions `text`."""

    def truth(handed: Submission) -> tuple[str, ...]:
        facts = {name: str((cell.get("sovereignty") or {}).get(fact, "")) for name, cell in handed.cells.items()}
        return tuple(name for name in COMPARED if text in facts.get(name, ""))

    return truth


SIDE_BY_SIDE: Final = Lab(
    7,
    "Starlink against IRIS² against fibre",
    "07-three-systems.md",
    "campaign",
    (
        Rule("systems", 3, _complete),
        Rule("verdicts", 2, _all_passed, measured=True),
        rules.word("quickest", 1, _quickest, "the row 'round trip'"),
        rules.number("iris2_over_fibre", 2, _ratio, 0.5, "planned round trip of iris2 over that of terrestrial"),
        rules.word("by_us_law", 1, _named("jurisdiction", "United States"), "who has the system in hand: whose law"),
        rules.word("switched_off_by_eu", 1, _named("off", "European Union"), "who has the system in hand: who can"),
    ),
)

NOT_OWN: Final = frozenset({"rome", "taranto"})
"""Hosts behind terminals that the ready topologies have."""


def _own(handed: Submission) -> Judgement:
    name = handed.plan.topology
    return name not in handed.topologies, f"{name}" + (" is installed: write one" if name in handed.topologies else "")


def _own_site(handed: Submission) -> Judgement:
    terminals = {node.name.removeprefix("ut-") for node in handed.plan.nodes if node.role == "terminal"}
    found = sorted(terminals - NOT_OWN)
    return bool(found), ", ".join(found) or "no terminal but those of the ready topologies"


def _assumed(handed: Submission) -> Judgement:
    count = len(handed.plan.assumptions)
    return count >= FEWEST_ASSUMPTIONS, f"{count} assumptions" + (
        "" if count >= FEWEST_ASSUMPTIONS else f": say at least {FEWEST_ASSUMPTIONS}"
    )


FEWEST_ASSUMPTIONS: Final = 3


def _in_hand(handed: Submission) -> Judgement:
    facts = handed.plan.manifest.get("sovereignty")
    return bool(facts), f"operated by {facts['operator']}" if facts else "the scenario has no sovereignty"


def _adjustable(handed: Submission) -> Judgement:
    names = list(handed.plan.manifest.get("parameters", {}))
    return bool(names), ", ".join(names) or "no parameter: declare one in PARAMETERS"


OWN_TOPOLOGY: Final = Lab(
    8,
    "Write your own topology",
    "08-your-own-topology.md",
    "run",
    (
        Rule("own", 2, _own),
        rules.seed(),
        rules.duration(10),
        Rule("site", 1, _own_site),
        Rule("parameters", 1, _adjustable),
        Rule("assumptions", 1, _assumed),
        Rule("sovereignty", 1, _in_hand),
        rules.passed(2),
    ),
)
