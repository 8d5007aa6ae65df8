"""What an attacker is told to do: actions, which packets, where on the path, and when."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, get_args

from traffic.attacks import Action, find_actions
from traffic.errors import AdversaryError
from traffic.memory import SILENT_S, Memory
from traffic.selection import Selection, exchanges, one_in, percent

Position = Literal["satellite", "gateway", "fibre"]
Direction = Literal["up", "down", "both"]

NONE: Final = "none"
PREFIX: Final = "adversary"
"""Of the names of these settings in a plan: `adversary` for the action, `adversary_every`, and so on."""


@dataclass(frozen=True)
class Threat:
    """`action`: of the catalogue, joined by '+', or FILE.py:FUNCTION with the file's text in `code` (docs/traffic.md).

    Acted on is one packet in `every`, or `percent` of all by `seed` if that is not 0; of key exchanges every message.
    `from_s`, `to_s`: schedule time between which it is at work, 0: to the end. `hold_ms`: of 'hold'; `followers`: of
    'reorder'; `late_s`: of late replays; `silent_s`: of 'expired'. Raises AdversaryError.
    """

    action: str
    every: int = 64
    percent: float = 0
    seed: int = 1
    position: Position = "satellite"
    direction: Direction = "up"
    from_s: float = 0
    to_s: float = 0
    hold_ms: int = 200
    followers: int = 32
    late_s: float = 10.0
    silent_s: float = SILENT_S
    code: str = ""

    def __post_init__(self) -> None:
        for name, known in (("position", get_args(Position)), ("direction", get_args(Direction))):
            if getattr(self, name) not in known:
                raise AdversaryError(f"attacker's {name} '{getattr(self, name)}' is unknown: use {', '.join(known)}")
        if self.to_s and self.to_s <= self.from_s:
            raise AdversaryError(f"the attacker would begin at {self.from_s:g} s and end at {self.to_s:g} s")
        self.selection()
        self.actions()

    def actions(self) -> tuple[Action, ...]:
        """What it does. A user's own function is loaded by `traffic.own_attack`."""
        return () if self.code else find_actions(self.action)

    def selection(self, *, reply: bool = False) -> Selection:
        """Which packets of ESP it acts on; `reply`: of the direction in which port 4500 is the source."""
        if self.percent:
            return percent(self.percent, self.seed, reply=reply)
        return one_in(self.every, reply=reply)

    def exchanges(self, *, reply: bool = False) -> Selection:
        """Which messages of key exchanges it acts on: all."""
        return exchanges(reply=reply)

    def memory(self) -> Memory:
        """A fresh one, as set here."""
        record = any(action.name == "expired" for action in self.actions())
        chance = random.Random(self.seed)  # noqa: S311 - an attack is to be repeatable
        return Memory(self.late_s, self.hold_ms / 1_000, self.followers, chance, record, self.silent_s)


def take_threat(options: dict[str, Any]) -> Threat | None:
    """The attacker among a plan's options of traffic, which are taken out of `options`; None if there is none.

    Raises AdversaryError.
    """
    found = {name: options.pop(name) for name in list(options) if name.startswith(PREFIX)}
    return make_threat(found)


def make_threat(options: Mapping[str, Any]) -> Threat | None:
    """The attacker of `adversary`, `adversary_every` and so on; None if there is none. Raises AdversaryError."""
    action = options.get(PREFIX, NONE)
    if action == NONE:
        return None
    known = {f"{PREFIX}_{field.name}": field.name for field in fields(Threat)}
    settings = {name: value for name, value in options.items() if name != PREFIX}
    for name in settings:
        if name not in known:
            raise AdversaryError(f"the attacker has no setting '{name}': use {', '.join(known)}")
    settings = {known[name]: value for name, value in settings.items()}
    settings["every"] = int(settings.get("every", 64))
    return Threat(action, **settings)
