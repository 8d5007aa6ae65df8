"""A teaching exchange of keys: our own, NOT IKEv2 (RFC 7296). Nothing else speaks it and nobody has reviewed it.

It shows what a post-quantum exchange costs on a link and what becomes of it under attack. Four messages:

    1 OFFER    →   proposal, both names, generation, nonce, SPIs, share
    2 ANSWER   ←   nonce, SPIs, reply, signature, key confirmation
    3 CONFIRM  →   signature, key confirmation
    4 DONE     ←   key confirmation: the new associations are installed

Signed is the hash of all that went before, as in SIGMA (Krawczyk 2003); names and proposal are in it. Keys come from
HKDF-SHA384 (RFC 5869) with a label each. Key confirmation makes ML-KEM's silent failure loud: with an altered
ciphertext both ends have different secrets, and no error. As in IKEv2 only the initiator repeats itself.

What does not verify is refused and changes nothing: the exchange waits for a good copy until its time is up, so that
forged messages from beside the path cannot end it. There are no cookies (RFC 7296, 2.6): an offer from a false address
makes the responder calculate, and answer with up to four times as many bytes. Names are sent in the clear.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from traffic.errors import DowngradeError, KeyExchangeError
from traffic.esp import KEY_BYTES, SALT_BYTES, SMALLEST_SPI
from traffic.kexwire import ID_BYTES, NO_ID, Fields, Kind, Message, spis, text
from traffic.profiles import Identity, Profile, PublicIdentity

NONCE_BYTES: Final = 32
HASH_BYTES: Final = 48
"""SHA-384; also of a key confirmation, which is an HMAC."""

_LABEL: Final = b"satcom teaching exchange 1: "


class Clock(Protocol):
    """Where time comes from: nanoseconds since whenever, never backwards."""

    def now_ns(self) -> int: ...


@dataclass(frozen=True)
class Timing:
    """When an unanswered message is sent again: after `first_ns`, then after twice as long, `sends` times in all.

    Assumption: 1 s, as RFC 6298 (2.1) begins where the round trip is unknown; four sends outlast an outage of 7 s.
    """

    first_ns: int = 1_000_000_000
    sends: int = 4

    @property
    def limit_ns(self) -> int:
        """After this an exchange has failed."""
        return self.first_ns * ((1 << self.sends) - 1)


@dataclass(frozen=True)
class Party:
    """One end: itself, whom it talks to, and what it insists on. `sends`, `receives`: DSCPs, an association each."""

    profile: Profile
    suite: str
    esn: bool
    identity: Identity
    peer: PublicIdentity
    sends: frozenset[int]
    receives: frozenset[int]

    @property
    def proposal(self) -> str:
        """What both ends must want alike; nothing is negotiated, so nothing can be negotiated down."""
        return f"{self.profile.name} {self.suite} {'ESN' if self.esn else '32-bit numbers'}"


class Child(NamedTuple):
    """What protects one traffic class in one direction."""

    spi: int
    key: bytes
    salt: bytes


@dataclass(frozen=True)
class Agreed:
    """The outcome, by DSCP. The other end's `inbound` is this end's `outbound`."""

    generation: int
    inbound: Mapping[int, Child]
    outbound: Mapping[int, Child]


class State(enum.Enum):
    """Of an initiator."""

    ASKING = "waits for ANSWER"
    CONFIRMING = "waits for DONE"
    DONE = "both ends have the keys"
    FAILED = "its time is up"


class _Keys:
    """All keys of an exchange, from its secret, its nonces and the transcript of OFFER and ANSWER."""

    def __init__(self, secret: bytes, nonces: bytes, transcript: bytes) -> None:
        self._key = HKDF.extract(SHA384(), nonces, secret)
        self._transcript = transcript

    def expand(self, label: str, count: int) -> bytes:
        """`count` bytes for that label."""
        return HKDFExpand(SHA384(), count, _LABEL + label.encode() + b"\0" + self._transcript).derive(self._key)

    def confirmation(self, role: str, kind: Kind, transcript: bytes) -> bytes:
        """What proves, in message `kind`, that its sender has the keys."""
        key = self.expand(f"confirm {role}", HASH_BYTES)
        return hmac.digest(key, bytes((kind,)) + transcript, "sha384")

    def children(self, sender: str, spi_by_dscp: Mapping[int, int]) -> dict[int, Child]:
        """The associations in which `sender`, initiator or responder, sends."""
        return {
            dscp: Child(
                spi, self.expand(f"key {sender} {dscp}", KEY_BYTES), self.expand(f"salt {sender} {dscp}", SALT_BYTES)
            )
            for dscp, spi in spi_by_dscp.items()
        }


class Initiator:
    """One attempt. `inbound`: the SPI under which it will receive, by DSCP. Bytes in, bytes out; no sockets.

    `agreed` is there once ANSWER has verified; that the other end has installed its part is known at State.DONE.
    """

    def __init__(
        self, party: Party, generation: int, inbound: Mapping[int, int], clock: Clock, timing: Timing | None = None
    ) -> None:
        self.state = State.ASKING
        self.agreed: Agreed | None = None
        self.refusal = ""  # the last
        self.began_ns = clock.now_ns()
        self.id = secrets.token_bytes(ID_BYTES)
        self._party, self._generation, self._inbound = party, generation, dict(inbound)
        self._clock, self._timing = clock, timing or Timing()
        self._nonce = secrets.token_bytes(NONCE_BYTES)
        share, self._finish = party.profile.agreement.begin()
        names = text(party.identity.name) + text(party.peer.name)
        head = text(party.proposal) + names + generation.to_bytes(4, "big") + self._nonce
        self._pending = Message(Kind.OFFER, self.id, NO_ID, head + spis(self._inbound) + share)
        self._transcript = _extend(b"", self._pending.head(), self._pending.payload)
        self._answer: Message | None = None
        self._keys: _Keys | None = None
        self._wait_ns = self._timing.first_ns
        self._next_ns = self.began_ns

    def due(self) -> Message | None:
        """What is to be sent (again) now. When the time is up the state becomes FAILED."""
        now_ns = self._clock.now_ns()
        if self.state in (State.DONE, State.FAILED):
            return None
        if now_ns - self.began_ns >= self._timing.limit_ns:
            self.state = State.FAILED
            return None
        if now_ns < self._next_ns:
            return None
        self._next_ns = now_ns + self._wait_ns
        self._wait_ns *= 2
        return self._pending

    def failure(self) -> str:
        """Why it FAILED, in one line."""
        missing = Kind.ANSWER if self.agreed is None else Kind.DONE
        told = f"no good {missing.name} within {self._timing.limit_ns / 1e9:g} s"
        return f"{told}; refused: {self.refusal}" if self.refusal else told

    def receive(self, message: Message) -> Message | None:
        """Take ANSWER or DONE; what is to be sent in reply. Raises KeyExchangeError, and then nothing has changed."""
        try:
            if message.kind is Kind.ANSWER and self.state is State.ASKING:
                return self._confirm(message)
            if message.kind is Kind.ANSWER and self.state is State.CONFIRMING:
                if message != self._answer:
                    raise KeyExchangeError("ANSWER: another one has been accepted before")
                return self._pending
            if message.kind is Kind.DONE and self.state is State.CONFIRMING:
                self._take_done(message)
        except KeyExchangeError as error:
            self.refusal = str(error)
            raise
        return None

    def succeed(self) -> None:
        """The other end has shown by other means that it has the keys: its data arrive under them."""
        self.state = State.DONE

    def _confirm(self, message: Message) -> Message:
        profile, party = self._party.profile, self._party
        fields = Fields(message)
        nonce, outbound = fields.take(NONCE_BYTES), _checked(fields.spis(), party.sends, "ANSWER")
        reply = fields.take(profile.agreement.reply_bytes)
        signature, confirmation = fields.take(profile.signature_bytes), fields.take(HASH_BYTES)
        fields.end()
        core = message.payload[: -len(signature) - HASH_BYTES]
        transcript = _extend(self._transcript, message.head(), core)
        party.peer.check(signature, _signed("responder", transcript))
        keys = _Keys(self._finish(reply), self._nonce + nonce, transcript)
        _compare(confirmation, keys.confirmation("responder", Kind.ANSWER, transcript), "ANSWER")
        transcript = _extend(transcript, signature, confirmation)
        payload = party.identity.sign(_signed("initiator", transcript))
        payload += keys.confirmation("initiator", Kind.CONFIRM, transcript)
        self._answer, self._keys = message, keys
        self._pending = Message(Kind.CONFIRM, self.id, message.responder, payload)
        self._transcript = _extend(transcript, self._pending.head(), payload)
        inbound = keys.children("responder", self._inbound)
        self.agreed = Agreed(self._generation, inbound, keys.children("initiator", outbound))
        self.state = State.CONFIRMING
        self._wait_ns = self._timing.first_ns
        self._next_ns = self._clock.now_ns() + self._wait_ns
        self._wait_ns *= 2
        return self._pending

    def _take_done(self, message: Message) -> None:
        assert self._keys is not None
        if (message.initiator, message.responder) != (self.id, self._pending.responder):
            raise KeyExchangeError("DONE: it belongs to another exchange")
        expected = self._keys.confirmation("responder", Kind.DONE, self._transcript)
        _compare(message.payload, expected, "DONE")
        self.state = State.DONE


class Offer(NamedTuple):
    """What an OFFER says, nothing of it verified yet."""

    proposal: str
    initiator: str
    responder: str
    generation: int
    nonce: bytes
    spi_by_dscp: dict[int, int]
    share: bytes


def read_offer(message: Message) -> Offer:
    """Take an OFFER apart; raises KeyExchangeError."""
    fields = Fields(message)
    proposal, initiator, responder = fields.text(), fields.text(), fields.text()
    generation, nonce, by_dscp = int.from_bytes(fields.take(4), "big"), fields.take(NONCE_BYTES), fields.spis()
    return Offer(proposal, initiator, responder, generation, nonce, by_dscp, fields.rest())


class Responder:
    """The other end of one attempt, made by its OFFER. `inbound` as for the initiator; raises KeyExchangeError.

    `agreed` is there from the beginning, but before `complete` nobody has proved who asks: install nothing.
    """

    def __init__(self, party: Party, message: Message, inbound: Mapping[int, int], clock: Clock) -> None:
        offer, profile = read_offer(message), party.profile
        if offer.proposal != party.proposal:
            raise DowngradeError(f"OFFER of '{offer.proposal}', where '{party.proposal}' is demanded")
        if (offer.initiator, offer.responder) != (party.peer.name, party.identity.name):
            raise KeyExchangeError(f"OFFER from '{offer.initiator}' to '{offer.responder}': it is not for this pair")
        if len(offer.share) != profile.agreement.share_bytes:
            raise KeyExchangeError(f"OFFER: a share of {len(offer.share)}, not {profile.agreement.share_bytes} bytes")
        outbound = _checked(offer.spi_by_dscp, party.sends, "OFFER")
        reply, secret = profile.agreement.reply(offer.share)
        self.began_ns = clock.now_ns()
        self.complete = False
        self.offer = message
        self.id = secrets.token_bytes(ID_BYTES)
        self._party = party
        nonce = secrets.token_bytes(NONCE_BYTES)
        core = nonce + spis(inbound) + reply
        ids = (message.initiator, self.id)
        transcript = _extend(b"", message.head(), message.payload)
        transcript = _extend(transcript, Message(Kind.ANSWER, *ids, b"").head(), core)
        self._keys = _Keys(secret, offer.nonce + nonce, transcript)
        signature = party.identity.sign(_signed("responder", transcript))
        confirmation = self._keys.confirmation("responder", Kind.ANSWER, transcript)
        self.answer = Message(Kind.ANSWER, *ids, core + signature + confirmation)
        self._transcript = _extend(transcript, signature, confirmation)
        inbound_children = self._keys.children("initiator", inbound)
        self.agreed = Agreed(offer.generation, inbound_children, self._keys.children("responder", outbound))
        self._confirm: Message | None = None
        self._done: Message | None = None

    def receive(self, message: Message) -> Message:
        """Take CONFIRM; returns DONE. Raises KeyExchangeError, and then nothing has changed."""
        if message.head() != Message(Kind.CONFIRM, self.offer.initiator, self.id, b"").head():
            raise KeyExchangeError(f"{message.kind.name}: it belongs to another exchange")
        if self._done is not None:
            if message != self._confirm:
                raise KeyExchangeError("CONFIRM: another one has been accepted before")
            return self._done
        fields = Fields(message)
        signature, confirmation = fields.take(self._party.profile.signature_bytes), fields.take(HASH_BYTES)
        fields.end()
        expected = self._keys.confirmation("initiator", Kind.CONFIRM, self._transcript)
        _compare(confirmation, expected, "CONFIRM")  # first, because it costs less than a signature
        self._party.peer.check(signature, _signed("initiator", self._transcript))
        transcript = _extend(self._transcript, message.head(), message.payload)
        payload = self._keys.confirmation("responder", Kind.DONE, transcript)
        self._confirm, self._done = message, Message(Kind.DONE, message.initiator, self.id, payload)
        self.complete = True
        return self._done


def _extend(transcript: bytes, *parts: bytes) -> bytes:
    """The hash of what went before and of `parts`, each with its length."""
    state = hashlib.sha384(_LABEL + transcript)
    for part in parts:
        state.update(len(part).to_bytes(4, "big") + part)
    return state.digest()


def _signed(role: str, transcript: bytes) -> bytes:
    return _LABEL + role.encode() + b" signs\0" + transcript


def _compare(given: bytes, expected: bytes, what: str) -> None:
    if not hmac.compare_digest(given, expected):
        raise KeyExchangeError(f"{what}: key confirmation fails, the two ends have different keys")


def _checked(by_dscp: dict[int, int], classes: frozenset[int], what: str) -> dict[int, int]:
    if by_dscp.keys() != classes or any(spi < SMALLEST_SPI for spi in by_dscp.values()):
        raise KeyExchangeError(f"{what}: SPIs for DSCP {sorted(by_dscp)}, where {sorted(classes)} are to be protected")
    return by_dscp
