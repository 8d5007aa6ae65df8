"""Who has a system in hand: facts about it, repeated in the report and never made a score."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sovereignty:
    """Facts, each a sentence or a few words; what is not known says so.

    landing: countries where the traffic comes down, or runs. operator: who operates it. jurisdiction: whose law binds
    the operator. keys: who holds the keys of what is protected end to end. off: who can switch it off, and how.
    """

    landing: str
    operator: str
    jurisdiction: str
    keys: str
    off: str
