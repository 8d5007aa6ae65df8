"""How long keys live and how they are replaced: one end of a pair of hosts, without sockets.

Make before break. The new associations are installed inwards first; outwards the initiator switches when the responder
says DONE, or its data arrive under the new keys; the responder when CONFIRM has verified, because the initiator
installed before it sent that. The old ones go on being accepted for a grace: the initiator's from its switch on, the
responder's from when it first hears the initiator under the new keys.

A failed exchange changes nothing: the old association goes on, another attempt follows. Past its hard lifetime an
association sends nothing more. There is no way from here to clear text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from traffic.errors import ConfigurationError, DowngradeError, KeyExchangeError, SequenceExhausted
from traffic.esp import InboundSa, OutboundSa
from traffic.kexwire import Kind, Message
from traffic.keyexchange import Agreed, Child, Clock, Initiator, Party, Responder, State, Timing, read_offer
from traffic.packets import IP_IN_IP
from traffic.replay import Position
from traffic.verdicts import Verdict

MOST_HALF_OPEN: Final = 64
"""Assumption: exchanges that a responder keeps at a time; beyond it the oldest is dropped. Who forges more offers than
these in one round trip blocks the rekey."""

_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True)
class Lifetime:
    """Past a soft limit new keys are asked for, past a hard one nothing more is sent. Raises ConfigurationError.

    Packets: a counter of 32 bits ends at 2³² - 1 (RFC 4303, 3.3.3). Bytes: 2³⁸ is below 2²⁴·⁵ records of 2¹⁴ bytes,
    up to which AES-GCM keeps a margin of 2⁻⁵⁷ (RFC 8446, 5.5).
    """

    soft_ns: int
    hard_ns: int
    soft_packets: int = 1 << 31
    hard_packets: int = (1 << 32) - 1
    soft_bytes: int = 1 << 37
    hard_bytes: int = 1 << 38

    def __post_init__(self) -> None:
        for what in ("ns", "packets", "bytes"):
            soft, hard = getattr(self, f"soft_{what}"), getattr(self, f"hard_{what}")
            if not 0 < soft < hard:
                raise ConfigurationError(f"lifetime: soft_{what} {soft} and hard_{what} {hard}: use 0 < soft < hard")


class LimitedOutboundSa(OutboundSa):
    """An outbound association that encrypts nothing beyond its hard lifetime, whoever asks. `began_ns`: its birth."""

    __slots__ = ("_clock", "_lifetime", "began_ns", "plain_bytes")

    def __init__(self, child: Child, esn: bool, suite: str, lifetime: Lifetime, began_ns: int, clock: Clock) -> None:
        super().__init__(*child, esn=esn, suite=suite)
        self._clock, self._lifetime = clock, lifetime
        self.began_ns = began_ns
        self.plain_bytes = 0

    def ended(self) -> tuple[Verdict, str] | None:
        """How nothing more may be sent: EXPIRED_SA or SEQ_EXHAUSTED, and why; None while it may."""
        limits = self._lifetime
        if self._clock.now_ns() - self.began_ns >= limits.hard_ns:
            return Verdict.EXPIRED_SA, f"it is {limits.hard_ns / _NS_PER_S:g} s old"
        if self.sequence >= limits.hard_packets:
            return Verdict.SEQ_EXHAUSTED, f"it has sent {self.sequence} packets"
        if self.plain_bytes >= limits.hard_bytes:
            return Verdict.SEQ_EXHAUSTED, f"it has protected {self.plain_bytes} bytes"
        return None

    def encrypt(self, inner: bytes | bytearray, next_header: int = IP_IN_IP) -> bytes:
        """As OutboundSa. Raises SequenceExhausted."""
        end = self.ended()
        if end is not None:
            raise SequenceExhausted(f"SPI {self.spi:#x} is at its hard lifetime: {end[1]}")
        self.plain_bytes += len(inner)
        return super().encrypt(inner, next_header)


class CountingInboundSa(InboundSa):
    """An inbound association that counts what is authentic and not seen before: replays make no key age."""

    __slots__ = ("packets", "plain_bytes")

    def __init__(self, child: Child, esn: bool, suite: str, window: int) -> None:
        super().__init__(*child, esn=esn, suite=suite, window=window)
        self.packets = self.plain_bytes = 0

    def authenticate(self, packet: bytes) -> tuple[int, bytes | None]:
        """As InboundSa."""
        number, plain = super().authenticate(packet)
        if plain is not None and self.window.position(number) is Position.NEW:
            self.packets += 1
            self.plain_bytes += len(plain)
        return number, plain


@dataclass(eq=False)
class Generation:
    """What one exchange brought to this end, by DSCP. `began_ns`: when it was installed; `retired`: the inbound half
    is in its grace, or gone."""

    number: int
    began_ns: int
    inbound: dict[int, CountingInboundSa]
    outbound: dict[int, LimitedOutboundSa]
    retired: bool = False

    @property
    def heard(self) -> bool:
        """Whether the other end uses it."""
        return any(association.packets for association in self.inbound.values())

    def wants_rekey(self, lifetime: Lifetime, now_ns: int) -> bool:
        """Whether a soft limit is passed, in either direction."""
        if now_ns - self.began_ns >= lifetime.soft_ns:
            return True
        used = [(sa.sequence, sa.plain_bytes) for sa in self.outbound.values()]
        used += [(sa.packets, sa.plain_bytes) for sa in self.inbound.values()]
        return any(packets >= lifetime.soft_packets or count >= lifetime.soft_bytes for packets, count in used)


class DataPath(Protocol):
    """What the end does to its host."""

    def install(self, dscp: int, child: Child, association: CountingInboundSa) -> None:
        """Accept it, beside all others; it was made of `child`."""

    def switch(self, dscp: int, association: LimitedOutboundSa) -> None:
        """Send under it from now on."""

    def retire(self, association: CountingInboundSa, until_ns: int) -> None:
        """Accept it no more after that time."""

    def alarm(self, verdict: Verdict, detail: str) -> None:
        """Report KEX_FAIL, DOWNGRADE, SEQ_EXHAUSTED or EXPIRED_SA."""


@dataclass(frozen=True)
class Terms:
    """How both ends keep their keys. `grace_ns`: longest delay less shortest, and 1 s. `window`: of anti-replay.

    Raises ConfigurationError if keys could die while the exchange that made them still runs.
    """

    lifetime: Lifetime
    grace_ns: int
    window: int = 1024
    timing: Timing = field(default_factory=Timing)

    def __post_init__(self) -> None:
        if self.lifetime.hard_ns <= self.timing.limit_ns:
            hard_s, limit_s = self.lifetime.hard_ns / _NS_PER_S, self.timing.limit_ns / _NS_PER_S
            raise ConfigurationError(f"a hard lifetime of {hard_s:g} s is refused: one exchange may take {limit_s:g} s")


@dataclass
class Counts:
    """What happened at one end. `durations_ns`: from OFFER to DONE; only an initiator knows."""

    completed: int = 0
    failed: int = 0
    refused: int = 0  # messages
    durations_ns: list[int] = field(default_factory=list)


class PairEnd:
    """One host's end of its keys with one peer. `initiates`: this end begins all exchanges, so that none can collide.

    Messages in, messages out; poll it some 50 times a second.
    """

    def __init__(
        self, party: Party, terms: Terms, initiates: bool, path: DataPath, clock: Clock, draw_spi: Callable[[], int]
    ) -> None:
        self.party, self.terms, self.initiates = party, terms, initiates
        self.current: Generation | None = None  # sends
        self.counts = Counts()
        self._path, self._clock, self._draw_spi = path, clock, draw_spi
        self._others: list[Generation] = []  # accepted, not sent under: unconfirmed, or older
        self._unconfirmed: list[Generation] = []  # of an initiator, newest last
        self._attempt: Initiator | None = None
        self._attempts = 0
        self._not_before_ns = clock.now_ns()
        self._half_open: list[Responder] = []
        self._stopped = False

    def owns(self, message: Message) -> bool:
        """Whether it belongs to an exchange of this end; for an OFFER, whether it is for this pair."""
        if message.kind is Kind.OFFER:
            offer = read_offer(message)
            names = (self.party.peer.name, self.party.identity.name)
            return not self.initiates and (offer.initiator, offer.responder) == names
        if message.kind is Kind.CONFIRM:
            return any(message.responder == responder.id for responder in self._half_open)
        return self._attempt is not None and message.initiator == self._attempt.id

    def receive(self, message: Message) -> list[Message]:
        """Take a message that this end `owns`; what is to be sent in reply."""
        try:
            if message.kind is Kind.OFFER:
                return self._take_offer(message)
            if message.kind is Kind.CONFIRM:
                return self._take_confirm(message)
            return self._take_reply(message)
        except DowngradeError as error:
            self._refuse(Verdict.DOWNGRADE, error)
        except KeyExchangeError as error:
            self._refuse(Verdict.KEX_FAIL, error)
        return []

    def poll(self) -> list[Message]:
        """Do what time demands; what is to be sent."""
        now_ns = self._clock.now_ns()
        self._retire(now_ns)
        self._watch_hard_lifetime()
        if not self.initiates:
            self._drop_half_open(now_ns)
            return []
        for generation in reversed(self._unconfirmed):
            if generation.heard:
                if self._attempt is not None and self._attempts == generation.number:
                    self._finish_attempt()
                self._confirm(generation)
                break
        if self._attempt is None and now_ns >= self._not_before_ns and self._wants_keys(now_ns):
            self._attempts += 1
            inbound = {dscp: self._draw_spi() for dscp in self.party.receives}
            self._attempt = Initiator(self.party, self._attempts, inbound, self._clock, self.terms.timing)
        if self._attempt is None:
            return []
        message = self._attempt.due()
        if self._attempt.state is State.FAILED:
            self.counts.failed += 1
            self._path.alarm(Verdict.KEX_FAIL, f"with {self.party.peer.name}: {self._attempt.failure()}")
            self._attempt = None
            self._not_before_ns = now_ns + self.terms.timing.first_ns
        return [] if message is None else [message]

    def generations(self) -> Iterator[Generation]:
        """All whose associations this end has not given up."""
        yield from self._others
        if self.current is not None:
            yield self.current

    def _wants_keys(self, now_ns: int) -> bool:
        return self.current is None or self.current.wants_rekey(self.terms.lifetime, now_ns)

    def _take_reply(self, message: Message) -> list[Message]:
        attempt = self._attempt
        assert attempt is not None
        known = attempt.agreed
        reply = attempt.receive(message)
        if known is None and attempt.agreed is not None:
            generation = self._install(attempt.agreed, attempt.began_ns)
            self._unconfirmed.append(generation)
            self._others.append(generation)
        if attempt.state is State.DONE:
            self._finish_attempt()
            self._confirm(self._unconfirmed[-1])
        return [] if reply is None else [reply]

    def _take_offer(self, message: Message) -> list[Message]:
        for responder in self._half_open:
            if responder.offer == message:
                return [] if responder.complete else [responder.answer]
        newest = 0 if self.current is None else self.current.number
        if read_offer(message).generation <= newest:
            return []  # a copy of an old one
        inbound = {dscp: self._draw_spi() for dscp in self.party.receives}
        responder = Responder(self.party, message, inbound, self._clock)
        self._half_open.append(responder)
        return [responder.answer]

    def _take_confirm(self, message: Message) -> list[Message]:
        responder = next(responder for responder in self._half_open if responder.id == message.responder)
        newest = 0 if self.current is None else self.current.number
        if not responder.complete and responder.agreed.generation <= newest:
            return []  # overtaken by a later attempt
        was_complete = responder.complete
        done = responder.receive(message)
        if not was_complete:
            self._switch(self._install(responder.agreed, responder.began_ns))
        return [done]

    def _install(self, agreed: Agreed, began_ns: int) -> Generation:
        """Accept it. Outwards its life counts from when this end began the exchange, inwards from now: so nobody sends
        what the other end holds for expired."""
        party, terms = self.party, self.terms
        inbound = {
            dscp: CountingInboundSa(child, party.esn, party.suite, terms.window)
            for dscp, child in agreed.inbound.items()
        }
        outbound = {
            dscp: LimitedOutboundSa(child, party.esn, party.suite, terms.lifetime, began_ns, self._clock)
            for dscp, child in agreed.outbound.items()
        }
        for dscp, association in inbound.items():
            self._path.install(dscp, agreed.inbound[dscp], association)
        return Generation(agreed.generation, self._clock.now_ns(), inbound, outbound)

    def _switch(self, generation: Generation) -> None:
        """Send under it; what was sent under before is accepted until it is retired."""
        if self.current is not None:
            self._others.append(self.current)
        self.current = generation
        self.counts.completed += 1
        self._stopped = False
        for dscp, association in generation.outbound.items():
            self._path.switch(dscp, association)

    def _confirm(self, generation: Generation) -> None:
        """The responder has it: switch, and let all that is older go."""
        self._unconfirmed = [other for other in self._unconfirmed if other.number > generation.number]
        self._others.remove(generation)
        self._switch(generation)

    def _finish_attempt(self) -> None:
        assert self._attempt is not None
        self.counts.durations_ns.append(self._clock.now_ns() - self._attempt.began_ns)
        self._attempt = None

    def _retire(self, now_ns: int) -> None:
        """Begin the grace of what the other end has no reason to send under any more."""
        current = self.current
        certain = current is not None and (self.initiates or current.heard or not current.inbound)
        for generation in self.generations():
            superseded = certain and current is not None and generation.number < current.number
            if not generation.retired and (superseded or now_ns - generation.began_ns >= self.terms.lifetime.hard_ns):
                self._retire_one(generation, now_ns)
        self._others = [generation for generation in self._others if not generation.retired]

    def _retire_one(self, generation: Generation, now_ns: int) -> None:
        generation.retired = True
        self._unconfirmed = [other for other in self._unconfirmed if other is not generation]
        for association in generation.inbound.values():
            self._path.retire(association, now_ns + self.terms.grace_ns)

    def _watch_hard_lifetime(self) -> None:
        if self.current is None or self._stopped:
            return
        for association in self.current.outbound.values():
            end = association.ended()
            if end is not None:
                self._stopped = True
                self._path.alarm(end[0], f"SPI {association.spi:#010x} sends nothing more: {end[1]}")
                return

    def _drop_half_open(self, now_ns: int) -> None:
        limit_ns = self.terms.timing.limit_ns + self.terms.timing.first_ns
        kept = [responder for responder in self._half_open if now_ns - responder.began_ns < limit_ns]
        kept = kept[-MOST_HALF_OPEN:]
        for responder in self._half_open:
            if responder not in kept and not responder.complete:
                self.counts.failed += 1
                self._path.alarm(Verdict.KEX_FAIL, f"with {self.party.peer.name}: no good CONFIRM after an OFFER")
        self._half_open = kept

    def _refuse(self, verdict: Verdict, error: KeyExchangeError) -> None:
        self.counts.refused += 1
        self._path.alarm(verdict, f"with {self.party.peer.name}: {error}")
