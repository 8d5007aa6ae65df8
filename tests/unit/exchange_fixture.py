"""What the tests of key exchanges share: a clock set by hand, two parties, a run through all four messages."""

from __future__ import annotations

from dataclasses import dataclass

from traffic.errors import KeyExchangeError
from traffic.esp import AES_256_GCM
from traffic.kexwire import Message
from traffic.keyexchange import Initiator, Party, Responder, State, Timing
from traffic.profiles import PROFILES, Identity

S = 1_000_000_000
MS = 1_000_000
CLASSES = frozenset({0, 46})
ROME_SPIS, MILAN_SPIS = {0: 0x1000, 46: 0x1001}, {0: 0x2000, 46: 0x2001}


class ManualClock:
    """Time passes when the test says so."""

    def __init__(self) -> None:
        self.time_ns = 0

    def now_ns(self) -> int:
        return self.time_ns


def parties(profile: str) -> tuple[Party, Party]:
    """(rome's end, milan's end)."""
    algorithms = PROFILES[profile]
    rome, milan = Identity("rome", algorithms), Identity("milan", algorithms)
    return (
        Party(algorithms, AES_256_GCM, True, rome, milan.public, CLASSES, CLASSES),
        Party(algorithms, AES_256_GCM, True, milan, rome.public, CLASSES, CLASSES),
    )


@dataclass
class Exchange:
    """An exchange between rome, who begins, and milan, as far as `answer`."""

    rome: Party
    milan: Party
    clock: ManualClock
    initiator: Initiator
    offer: Message
    responder: Responder

    def finish(self) -> None:
        """The other messages, unharmed; both ends must agree."""
        confirm = self.initiator.receive(self.responder.answer)
        assert confirm is not None
        assert self.initiator.receive(self.responder.receive(confirm)) is None
        assert self.initiator.state is State.DONE
        assert self.responder.complete
        assert self.initiator.agreed is not None
        assert self.initiator.agreed.inbound == self.responder.agreed.outbound
        assert self.initiator.agreed.outbound == self.responder.agreed.inbound


def begin(profile: str, timing: Timing | None = None) -> Exchange:
    """Both ends have done what comes before `answer` is delivered."""
    rome, milan = parties(profile)
    clock = ManualClock()
    initiator = Initiator(rome, 1, ROME_SPIS, clock, timing)
    offer = initiator.due()
    assert offer is not None
    return Exchange(rome, milan, clock, initiator, offer, Responder(milan, offer, MILAN_SPIS, clock))


def flipped(message: Message, at: int) -> Message:
    """The message with one bit of byte `at` other; bytes -16 to -1 are those of the ids."""
    if at >= 0:
        payload = bytearray(message.payload)
        payload[at] ^= 1 << at % 8
        return message._replace(payload=bytes(payload))
    ids = bytearray(message.initiator + message.responder)
    ids[at + 16] ^= 1
    return message._replace(initiator=bytes(ids[:8]), responder=bytes(ids[8:]))


def refused(call: object, *arguments: object) -> str:
    """Why a call raises KeyExchangeError; fails if it does not."""
    try:
        call(*arguments)  # type: ignore[operator]
    except KeyExchangeError as error:
        return str(error)
    raise AssertionError("it was accepted")
