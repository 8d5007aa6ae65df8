"""What an exchange costs, profile by profile: `python -m traffic.kexcost` prints processor time and bytes of both ends.

No network, no waiting: the four messages are handed over in one process. Times are of the thread, medians.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from traffic.esp import AES_256_GCM
from traffic.kexwire import Message
from traffic.keyexchange import Initiator, Party, Responder
from traffic.profiles import PROFILES, Identity, Profile

ROUNDS: Final = 200
_CLASSES: Final = frozenset({0, 46})  # two traffic classes in each direction: four associations
_BELOW: Final = 20 + 8  # IPv4 and UDP, bytes per datagram

T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """Of one exchange. `messages`: bytes and datagrams of OFFER, ANSWER, CONFIRM, DONE, with IPv4 and UDP headers."""

    profile: str
    initiator_us: float
    responder_us: float
    messages: tuple[tuple[int, int], ...]


class _Clock:
    def now_ns(self) -> int:
        return time.monotonic_ns()


def measure(profile: Profile, rounds: int = ROUNDS) -> Cost:
    """The cost of an exchange for two classes each way, keys of all associations included."""
    rome, milan = Identity("rome", profile), Identity("milan", profile)
    ends = [
        Party(profile, AES_256_GCM, True, me, peer.public, _CLASSES, _CLASSES)
        for me, peer in ((rome, milan), (milan, rome))
    ]
    spent: list[tuple[int, int]] = []
    messages: list[Message] = []
    for _ in range(rounds):
        initiator, responder, messages = _exchange(ends[0], ends[1])
        spent.append((initiator, responder))
    sizes = [(sum(map(len, parts)) + _BELOW * len(parts), len(parts)) for parts in map(Message.datagrams, messages)]
    initiator_us, responder_us = (statistics.median(values) / 1e3 for values in zip(*spent, strict=True))
    return Cost(profile.name, initiator_us, responder_us, tuple(sizes))


def _exchange(ours: Party, theirs: Party) -> tuple[int, int, list[Message]]:
    """(ns of the initiator, ns of the responder, the messages) of one exchange."""
    clock = _Clock()
    spent = [0, 0]

    def timed(end: int, work: Callable[[], T]) -> T:
        began_ns = time.thread_time_ns()
        result = work()
        spent[end] += time.thread_time_ns() - began_ns
        return result

    spis: list[dict[int, int]] = [{0: 0x1000, 46: 0x1001}, {0: 0x2000, 46: 0x2001}]
    initiator = timed(0, lambda: Initiator(ours, 1, spis[0], clock))
    offer: Any = initiator.due()
    responder = timed(1, lambda: Responder(theirs, offer, spis[1], clock))
    confirm: Any = timed(0, lambda: initiator.receive(responder.answer))
    done = timed(1, lambda: responder.receive(confirm))
    timed(0, lambda: initiator.receive(done))
    return spent[0], spent[1], [offer, responder.answer, confirm, done]


def table(costs: Iterable[Cost]) -> str:
    """As docs/keys.md has it."""
    lines = [
        "| profile | initiator, µs CPU | responder, µs CPU | bytes out and back | datagrams |",
        "|---|---|---|---|---|",
    ]
    for cost in costs:
        offer, answer, confirm, done = cost.messages
        sizes = f"{offer[0] + confirm[0]:,} and {answer[0] + done[0]:,}"
        datagrams = " + ".join(str(message[1]) for message in cost.messages)
        times = f"{cost.initiator_us:,.0f} | {cost.responder_us:,.0f}"
        lines.append(f"| `{cost.profile}` | {times} | {sizes} | {datagrams} |")
    return "".join(line + "\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(table(measure(profile) for profile in PROFILES.values()))
