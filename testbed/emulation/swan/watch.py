"""What a charon did, read from its log: which keys it renewed and how long each took, and where its peers moved to.

The words are those of strongSwan 5.9.8; times are the log's, in milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

_VERSION: Final = re.compile(r"Starting IKE charon daemon \(strongSwan ([^,)]+)")
_LINE: Final = re.compile(r"(?P<time>\d+\.\d{3}) \d\d\[[A-Z]{3}\] (?:<(?:(?P<name>[^|>]+)\|)?\d+> )?(?P<words>.*)")
_CHILD_BEGINS: Final = re.compile(r"establishing CHILD_SA (\S+\{\d+\})")
_CHILD_ENDS: Final = re.compile(r"outbound CHILD_SA (\S+\{\d+\}) established")
_IKE_BEGINS: Final = re.compile(r"initiating IKE_SA (\S+\[\d+\])")
_IKE_ENDS: Final = re.compile(r"IKE_SA (\S+\[\d+\]) rekeyed between")
_RENEWAL: Final = re.compile(r"generating CREATE_CHILD_SA request \d+ \[ N\(REKEY_SA\)")
_ARRIVED: Final = re.compile(r"received packet: from (\S+)\[(\d+)\] to ")


@dataclass(frozen=True, slots=True)
class Renewal:
    """Keys that the log's charon renewed, as initiator. `began_s`: since the epoch; `took_s`: until it sends under
    the new ones, so with the peer's answer and both ends' calculations."""

    what: Literal["child", "ike"]
    name: str
    began_s: float
    took_s: float


def renewals(log: str) -> list[Renewal]:
    """Of CHILD_SAs (the keys of ESP) and IKE_SAs, in the order of completion. What was made new, not renewed, is not
    among them: a renewal says which association it replaces."""
    begun: dict[str, float] = {}
    renewed: set[str] = set()
    asked: dict[str, str] = {}  # the last that each connection began
    found = []
    for time_s, connection, words in _lines(log):
        if begins := _CHILD_BEGINS.match(words):
            asked[connection] = begins[1]
            begun[begins[1]] = time_s
        elif begins := _IKE_BEGINS.match(words):
            begun[begins[1]] = time_s
        elif _RENEWAL.match(words):
            renewed.add(asked.get(connection, ""))
        elif (ends := _CHILD_ENDS.match(words)) and ends[1] in renewed and ends[1] in begun:
            found.append(_renewal("child", ends[1], begun[ends[1]], time_s))
        elif (ends := _IKE_ENDS.match(words)) and ends[1] in begun:
            found.append(_renewal("ike", ends[1], begun[ends[1]], time_s))
    return found


def sources(log: str, name: str) -> list[tuple[float, str, int]]:
    """Each change of where IKE messages of a connection came from, once it has its name: time, address, port."""
    found: list[tuple[float, str, int]] = []
    for time_s, connection, words in _lines(log):
        arrived = _ARRIVED.match(words) if connection == name else None
        if arrived and (arrived[1], int(arrived[2])) != (found[-1][1:] if found else None):
            found.append((time_s, arrived[1], int(arrived[2])))
    return found


def version(log: str) -> str:
    """Of strongSwan, as the daemon says it when it starts; '' before that."""
    found = _VERSION.search(log)
    return found[1] if found else ""


def _renewal(what: Literal["child", "ike"], name: str, began_s: float, ended_s: float) -> Renewal:
    return Renewal(what, name, began_s, round(ended_s - began_s, 3))


def _lines(log: str) -> Iterator[tuple[float, str, str]]:
    for line in map(_LINE.match, log.splitlines()):
        if line:
            yield float(line["time"]), line["name"] or "", line["words"]
