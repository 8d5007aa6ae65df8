"""The attacker's parameters, which all topologies share: include THREATS in the parameters and `threat` in the traffic.

What each action does and which verdict must answer it: docs/traffic.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args

from testbed.ground.errors import ScenarioError
from testbed.plan.scenario import Choice, Parameter, Whole
from testbed.plan.texts import Text
from traffic.attacks import find_actions
from traffic.errors import AdversaryError
from traffic.insider import INSIDERS
from traffic.own_attack import split
from traffic.threat import NONE, Direction, Position, make_threat

POWERS_OF_TWO: Final = tuple(str(2**exponent) for exponent in range(11))
"""What a kernel filter can select by the low bits of a sequence number."""

_DAY_S: Final = 86_400
_MOST_CODE_BYTES: Final = 1 << 16
"""Assumption: a user's attack is shorter; its text becomes part of the plan."""


class Attack(Text):
    """A parameter that names actions of the catalogue, an insider's one, or FILE.py:FUNCTION."""

    @property
    def choices(self) -> tuple[str, ...]:
        """How it is written; a name that does not exist is answered with all that do."""
        return (NONE, self.written, "FILE.py:FUNCTION")

    def parse(self, text: str) -> str:
        """The text itself; raises ValueError with what is wrong."""
        own = split(text)
        if own is not None:
            _read(own[0])
        elif text != NONE and text not in INSIDERS:
            try:
                find_actions(text)
            except AdversaryError as error:
                raise ValueError(
                    f"is refused: {error}; alone also {', '.join((NONE, *INSIDERS))} or FILE.py:FUNCTION"
                ) from None
        return text


POSITION: Final = Choice("adversary_position", "satellite", "where the attacker stands", get_args(Position))

THREATS: Final[tuple[Parameter, ...]] = (
    Attack(
        "adversary",
        NONE,
        "what an attacker on the path does, or a faulty endpoint (docs/attacker.md)",
        "ACTION[+ACTION…]",
    ),
    Choice("adversary_every", "64", "the attacker acts on one packet in this many", POWERS_OF_TWO),
    Whole("adversary_percent", "0", "instead, on this share of the packets, drawn by adversary_seed", 0, 100),
    Whole("adversary_seed", "1", "of what the attacker draws", 0, (1 << 32) - 1),
    POSITION,
    Choice("adversary_direction", "up", "which way the packets go that it attacks", get_args(Direction)),
    Whole("adversary_from_s", "0", "seconds after which the attacker begins", 0, _DAY_S),
    Whole("adversary_to_s", "0", "seconds after which it ends; 0: never", 0, _DAY_S),
    Whole("adversary_hold_ms", "200", "how long 'hold' keeps a packet", 1, 10_000),
    Whole("adversary_followers", "32", "how many packets 'reorder' lets pass", 1, 4_096),
    Whole("adversary_late_s", "10", "after how many seconds a late replay follows", 1, 600),
)


ATTACK: Final[Mapping[str, str]] = {"adversary": "bitflip+replay", "adversary_every": "32", "adversary_late_s": "5"}
"""What `testbed compare` tries on every system that can be attacked."""


def threat(values: Mapping[str, Any]) -> dict[str, Any]:
    """The attacker's part of a scenario's traffic, with the text of a user's own attack. Raises ScenarioError."""
    if "adversary" not in values:  # a topology without these parameters
        return {}
    found = {parameter.name: values[parameter.name] for parameter in THREATS}
    action = found["adversary"]
    if action == NONE:
        return {"adversary": NONE}
    if action in INSIDERS:
        return {name: found[name] for name in ("adversary", "adversary_every")}
    own = split(action)
    try:
        if own is not None:
            found["adversary_code"] = _read(own[0])
        make_threat(found)
    except (AdversaryError, ValueError) as error:
        raise ScenarioError(f"parameter adversary='{action}': {error}") from None
    return found


def _read(path: Path) -> str:
    try:
        text = path.read_text()
        compile(text, str(path), "exec")
    except OSError as error:
        raise ValueError(f"is refused: {path}: {error.strerror}") from None
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"is refused: {path}: {error}") from None
    if len(text.encode()) > _MOST_CODE_BYTES:
        raise ValueError(f"is refused: {path} has more than {_MOST_CODE_BYTES} bytes")
    return text
