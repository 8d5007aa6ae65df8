"""Agreements and signatures held against the primitives themselves, put together as the standards say."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from exchange_fixture import refused

from traffic.errors import ConfigurationError
from traffic.profiles import PROFILES, Identity, find_profile

SIZES = {  # bytes of share, reply, secret, signatures
    "cnsa2": (1568, 1568, 32, 4627),  # FIPS 203, table 3; FIPS 204, table 2
    "eu-hybrid": (1216, 1120, 64, 64 + 3309),  # draft-ietf-tls-ecdhe-mlkem, section 4; RFC 8032, 5.1.6
    "classic": (32, 32, 32, 64),
}


@pytest.mark.parametrize("name", PROFILES)
def test_sizes_are_those_of_the_standards_and_both_ends_agree(name: str) -> None:
    profile = PROFILES[name]
    agreement = profile.agreement
    share, finish = agreement.begin()
    reply, secret = agreement.reply(share)
    assert finish(reply) == secret
    assert (len(share), len(reply), len(secret)) == SIZES[name][:3]
    assert (agreement.share_bytes, agreement.reply_bytes, agreement.secret_bytes) == SIZES[name][:3]
    assert len(Identity("rome", profile).sign(b"x")) == profile.signature_bytes == SIZES[name][3]
    assert agreement.begin()[0] != share


def test_the_hybrid_has_the_order_of_x25519mlkem768_in_tls() -> None:
    """draft-ietf-tls-ecdhe-mlkem, 4: ML-KEM's part first in share, reply and secret. The server is made by hand."""
    share, finish = PROFILES["eu-hybrid"].agreement.begin()
    secret, ciphertext = MLKEM768PublicKey.from_public_bytes(share[:1184]).encapsulate()
    server = X25519PrivateKey.generate()
    shared = server.exchange(X25519PublicKey.from_public_bytes(share[1184:]))
    assert finish(ciphertext + server.public_key().public_bytes_raw()) == secret + shared


def test_an_altered_ml_kem_ciphertext_gives_another_secret_and_no_error() -> None:
    """FIPS 203, 6.3: implicit rejection. It is why the exchange confirms its keys."""
    agreement = PROFILES["cnsa2"].agreement
    share, finish = agreement.begin()
    reply, secret = agreement.reply(share)
    altered = bytes([reply[0] ^ 1]) + reply[1:]
    assert finish(altered) != secret
    assert finish(altered) == finish(altered)


def test_shares_that_are_none_are_refused() -> None:
    """FIPS 203, 7.2: coefficients above the modulus; RFC 7748, 6.1: a point of small order."""
    assert "share is refused" in refused(PROFILES["cnsa2"].agreement.reply, b"\xff" * 1568)
    assert "peer's part is refused" in refused(PROFILES["classic"].agreement.reply, bytes(32))
    hybrid = PROFILES["eu-hybrid"].agreement
    share, finish = hybrid.begin()
    assert "peer's part is refused" in refused(hybrid.reply, share[:1184] + bytes(32))
    assert "peer's part is refused" in refused(finish, hybrid.reply(share)[0][:1088] + bytes(32))
    assert "reply is refused" in refused(PROFILES["cnsa2"].agreement.begin()[1], bytes(1567))


def test_both_signatures_of_the_hybrid_must_verify() -> None:
    rome = Identity("rome", PROFILES["eu-hybrid"])
    signature = rome.sign(b"order")
    rome.public.check(signature, b"order")
    classical, post_quantum = bytearray(signature), bytearray(signature)
    classical[10] ^= 1
    post_quantum[64 + 10] ^= 1
    assert refused(rome.public.check, bytes(classical), b"order") == "the Ed25519 signature of rome does not verify"
    assert (
        refused(rome.public.check, bytes(post_quantum), b"order") == "the ML-DSA-65 signature of rome does not verify"
    )
    assert "where 3373 belong" in refused(rome.public.check, signature + b"x", b"order")
    assert "does not verify" in refused(rome.public.check, signature[:-1], b"order")
    assert "does not verify" in refused(Identity("rome", PROFILES["eu-hybrid"]).public.check, signature, b"order")


def test_unknown_profiles_and_suites_below_the_profile_are_refused() -> None:
    assert find_profile("classic", "CHACHA20-POLY1305").name == "classic"
    with pytest.raises(ConfigurationError, match="profile 'ikev2' is unknown: use manual, cnsa2, eu-hybrid, classic"):
        find_profile("ikev2")
    with pytest.raises(ConfigurationError, match="cnsa2 with suite 'CHACHA20-POLY1305' is refused: use AES-256-GCM-16"):
        find_profile("cnsa2", "CHACHA20-POLY1305")
