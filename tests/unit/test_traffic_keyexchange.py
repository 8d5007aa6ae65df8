"""The teaching exchange under attack: an altered message never makes a key, and never ends the exchange."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest
from exchange_fixture import MILAN_SPIS, ROME_SPIS, ManualClock, S, begin, flipped, parties, refused

from traffic.errors import DowngradeError, KeyExchangeError
from traffic.kexcost import measure
from traffic.kexwire import Kind, Message
from traffic.keyexchange import Initiator, Responder, State, Timing, _Keys
from traffic.profiles import PROFILES, Identity

# Bytes of OFFER, ANSWER, CONFIRM, DONE, and their datagrams. OFFER: proposal 7 to 9 + 19 letters, two names, generation
# 4, nonce 32, two SPIs 11, share; ANSWER: nonce, SPIs, reply, signatures, 48; CONFIRM: signatures, 48.
PAYLOADS = {
    "cnsa2": ((1651, 6286, 4675, 48), (2, 6, 4, 1)),
    "eu-hybrid": ((1303, 4584, 3421, 48), (2, 4, 3, 1)),
    "classic": ((117, 187, 112, 48), (1, 1, 1, 1)),
}


@pytest.mark.parametrize("name", PROFILES)
def test_both_ends_have_the_same_keys_and_every_class_its_own(name: str) -> None:
    exchange = begin(name)
    exchange.finish()
    agreed = exchange.responder.agreed
    assert {dscp: child.spi for dscp, child in agreed.inbound.items()} == MILAN_SPIS
    assert {dscp: child.spi for dscp, child in agreed.outbound.items()} == ROME_SPIS
    children = [*agreed.inbound.values(), *agreed.outbound.values()]
    assert len({child.key for child in children}) == len({child.salt for child in children}) == 4
    assert {(len(child.key), len(child.salt)) for child in children} == {(32, 4)}
    again = begin(name)
    again.finish()
    assert not {child.key for child in again.responder.agreed.inbound.values()} & {child.key for child in children}


@pytest.mark.parametrize("name", PROFILES)
def test_sizes_on_the_wire(name: str) -> None:
    exchange = begin(name)
    confirm = exchange.initiator.receive(exchange.responder.answer)
    assert confirm is not None
    messages = (exchange.offer, exchange.responder.answer, confirm, exchange.responder.receive(confirm))
    assert tuple(len(message.payload) for message in messages) == PAYLOADS[name][0]
    assert tuple(len(message.datagrams()) for message in messages) == PAYLOADS[name][1]


def test_keys_are_hkdf_of_rfc_5869_with_sha384() -> None:
    """Extract and expand written out with Python's own HMAC (RFC 5869, 2.2 and 2.3)."""
    prk = hmac.digest(b"nonces", b"secret", "sha384")
    info = b"satcom teaching exchange 1: key initiator 46\0transcript"
    first = hmac.digest(prk, info + b"\x01", "sha384")
    second = hmac.digest(prk, first + info + b"\x02", "sha384")
    assert _Keys(b"secret", b"nonces", b"transcript").expand("key initiator 46", 72) == (first + second)[:72]
    assert hashlib.sha384().digest_size == 48


@pytest.mark.parametrize("name", PROFILES)
def test_no_flipped_byte_of_any_message_makes_a_key(name: str) -> None:
    """Every byte of ids and payload, one after the other, in one exchange, which then ends well all the same."""
    exchange = begin(name)
    initiator, responder = exchange.initiator, exchange.responder
    for at in range(-16, len(exchange.offer.payload)):
        try:
            other = Responder(exchange.milan, flipped(exchange.offer, at), MILAN_SPIS, exchange.clock)
        except KeyExchangeError:
            continue
        # Nobody has proved anything yet. What it answers is not what rome asked for.
        assert not other.complete
        refused(initiator.receive, other.answer._replace(initiator=initiator.id))
        assert initiator.agreed is None
    for at in range(-16, len(responder.answer.payload)):
        refused(initiator.receive, flipped(responder.answer, at))
        assert (initiator.agreed, initiator.state) == (None, State.ASKING)
    confirm = initiator.receive(responder.answer)
    assert confirm is not None
    for at in range(-16, len(confirm.payload)):
        refused(responder.receive, flipped(confirm, at))
        assert not responder.complete
    done = responder.receive(confirm)
    for at in range(-16, len(done.payload)):
        refused(initiator.receive, flipped(done, at))
        assert initiator.state is State.CONFIRMING
    exchange.finish()


@pytest.mark.parametrize("name", PROFILES)
def test_every_cut_and_every_added_byte_is_refused(name: str) -> None:
    exchange = begin(name)
    initiator, responder = exchange.initiator, exchange.responder
    answer = responder.answer
    for size in {*range(0, len(answer.payload), 97), len(answer.payload) - 1}:
        refused(initiator.receive, answer._replace(payload=answer.payload[:size]))
    refused(initiator.receive, answer._replace(payload=answer.payload + b"\0"))
    for size in {*range(0, len(exchange.offer.payload), 29), len(exchange.offer.payload) - 1}:
        cut = exchange.offer._replace(payload=exchange.offer.payload[:size])
        refused(Responder, exchange.milan, cut, MILAN_SPIS, exchange.clock)
    exchange.finish()


@pytest.mark.parametrize("name", ["cnsa2", "eu-hybrid"])
def test_ml_kems_silent_failure_becomes_a_refusal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A responder whose ciphertext is spoilt before it signs: the signature verifies, only the keys differ."""
    rome, milan = parties(name)
    clock = ManualClock()
    initiator = Initiator(rome, 1, ROME_SPIS, clock)
    offer = initiator.due()
    assert offer is not None
    agreement = type(rome.profile.agreement)
    right = agreement.reply

    def spoilt(self: object, share: bytes) -> tuple[bytes, bytes]:
        reply, secret = right(self, share)  # type: ignore[arg-type]
        return bytes([reply[0] ^ 1]) + reply[1:], secret

    monkeypatch.setattr(agreement, "reply", spoilt)
    responder = Responder(milan, offer, MILAN_SPIS, clock)
    told = refused(initiator.receive, responder.answer)
    assert told == "ANSWER: key confirmation fails, the two ends have different keys"
    clock.time_ns = Timing().limit_ns
    assert initiator.due() is None
    assert initiator.state is State.FAILED
    assert initiator.failure() == f"no good ANSWER within 15 s; refused: {told}"


def test_another_identity_is_refused_at_either_end() -> None:
    rome, milan = parties("classic")
    mallory = Identity("milan", PROFILES["classic"])
    clock = ManualClock()
    initiator = Initiator(rome, 1, ROME_SPIS, clock)
    offer = initiator.due()
    assert offer is not None
    false = Responder(replace(milan, identity=mallory), offer, MILAN_SPIS, clock)
    assert "Ed25519 signature of milan does not verify" in refused(initiator.receive, false.answer)
    impostor = Initiator(replace(rome, identity=Identity("rome", PROFILES["classic"])), 1, ROME_SPIS, clock)
    asked = impostor.due()
    assert asked is not None
    responder = Responder(milan, asked, MILAN_SPIS, clock)
    confirm = impostor.receive(responder.answer)
    assert confirm is not None
    assert "Ed25519 signature of rome does not verify" in refused(responder.receive, confirm)
    assert not responder.complete


def test_nothing_is_negotiated_so_nothing_is_negotiated_down() -> None:
    _, milan = parties("cnsa2")
    rome, _ = parties("classic")
    clock = ManualClock()
    weak = Initiator(rome, 1, ROME_SPIS, clock).due()
    assert weak is not None
    with pytest.raises(DowngradeError, match="OFFER of 'classic AES-256-GCM-16 ESN', where 'cnsa2 AES-256-GCM-16 ESN'"):
        Responder(milan, weak, MILAN_SPIS, clock)
    rome, milan = parties("classic")
    offer = Initiator(replace(rome, esn=False), 1, ROME_SPIS, clock).due()
    assert offer is not None
    with pytest.raises(DowngradeError, match="'classic AES-256-GCM-16 32-bit numbers'"):
        Responder(milan, offer, MILAN_SPIS, clock)


def test_spis_must_be_those_of_the_classes() -> None:
    rome, milan = parties("classic")
    clock = ManualClock()
    for spi_by_dscp in ({0: 0x1000}, {0: 0x1000, 46: 0x1001, 10: 0x1002}, {0: 255, 46: 0x1001}):
        offer = Initiator(rome, 1, spi_by_dscp, clock).due()
        assert offer is not None
        assert "OFFER: SPIs for DSCP" in refused(Responder, milan, offer, MILAN_SPIS, clock)


def test_messages_sent_twice_get_the_same_reply() -> None:
    exchange = begin("classic")
    confirm = exchange.initiator.receive(exchange.responder.answer)
    assert confirm is not None
    assert exchange.initiator.receive(exchange.responder.answer) == confirm
    done = exchange.responder.receive(confirm)
    assert exchange.responder.receive(confirm) == done
    assert "another one has been accepted" in refused(exchange.responder.receive, flipped(confirm, 3))
    exchange.initiator.receive(done)
    assert exchange.initiator.receive(done) is None
    assert exchange.initiator.receive(exchange.responder.answer) is None
    assert exchange.initiator.state is State.DONE


def test_answers_of_another_exchange_and_before_their_time_are_nothing() -> None:
    exchange, other = begin("classic"), begin("classic")
    refused(exchange.initiator.receive, other.responder.answer._replace(initiator=exchange.initiator.id))
    done = Message(Kind.DONE, exchange.initiator.id, exchange.responder.id, bytes(48))
    assert exchange.initiator.receive(done) is None
    assert exchange.initiator.state is State.ASKING


def test_repetitions_double_and_end() -> None:
    """At 0, 1, 3 and 7 s; after 15 s it has failed, also if time leaps."""
    initiator = Initiator(parties("classic")[0], 1, ROME_SPIS, clock := ManualClock())
    sent = []
    for tenth in range(160):
        clock.time_ns = tenth * S // 10
        if initiator.due() is not None:
            sent.append(tenth / 10)
    assert sent == [0, 1, 3, 7]
    assert initiator.state is State.FAILED
    assert initiator.failure() == "no good ANSWER within 15 s"


def test_the_confirmation_is_repeated_too_and_its_end_is_that_of_the_whole() -> None:
    exchange = begin("classic", Timing(S, 3))
    exchange.clock.time_ns = 5 * S
    confirm = exchange.initiator.receive(exchange.responder.answer)
    assert exchange.initiator.due() is None
    exchange.clock.time_ns = 6 * S
    assert exchange.initiator.due() == confirm
    exchange.clock.time_ns = 7 * S
    assert exchange.initiator.due() is None
    assert exchange.initiator.failure() == "no good DONE within 7 s"


def test_what_an_exchange_costs_is_measured_with_its_bytes() -> None:
    """ML-DSA-65 signs in some 1,200 us and Ed25519 in 40: a profile that forgot to sign would be seen."""
    costs = {name: measure(PROFILES[name], rounds=5) for name in PROFILES}
    assert costs["cnsa2"].initiator_us > 1.5 * costs["classic"].initiator_us
    assert costs["eu-hybrid"].responder_us > 1.5 * costs["classic"].responder_us
    for name, (payloads, datagrams) in PAYLOADS.items():
        # Each datagram has 24 bytes of our own header, and 28 of IPv4 and UDP. The names are as long as these.
        sizes = zip(payloads, datagrams, strict=True)
        assert costs[name].messages == tuple((size + 52 * count, count) for size, count in sizes)
