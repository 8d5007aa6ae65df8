"""What a key exchange is made of: three profiles of key agreement, signatures and hash.

    cnsa2       ML-KEM-1024, ML-DSA-87, SHA-384, AES-256: CNSA 2.0 (NSA, CSI of September 2022)
    eu-hybrid   X25519 and ML-KEM-768, Ed25519 and ML-DSA-65: both must be broken (NIS group's roadmap, June 2025)
    classic     X25519, Ed25519: what a quantum computer breaks, to compare with

ML-KEM is FIPS 203, ML-DSA FIPS 204, X25519 RFC 7748, Ed25519 RFC 8032; `cryptography` does them (48 or later).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA87PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
    MLKEM1024PrivateKey,
    MLKEM1024PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from traffic.errors import ConfigurationError, KeyExchangeError
from traffic.esp import AES_256_GCM, CHACHA20_POLY1305

MANUAL: Final = "manual"
"""In place of a profile's name: keys are made for the run and handed to both ends, as an operator would."""

Finish = Callable[[bytes], bytes]
"""Makes the initiator's secret of the responder's reply; raises KeyExchangeError."""


class KeyAgreement(Protocol):
    """One side sends a share, the other replies, and both have a secret. Sizes in bytes."""

    @property
    def share_bytes(self) -> int: ...
    @property
    def reply_bytes(self) -> int: ...
    @property
    def secret_bytes(self) -> int: ...

    def begin(self) -> tuple[bytes, Finish]:
        """(share, how to finish) with fresh private keys."""

    def reply(self, share: bytes) -> tuple[bytes, bytes]:
        """(reply, secret) to a share; raises KeyExchangeError."""


class X25519:
    """RFC 7748. A share of small order, which would make the secret zero, is refused (6.1)."""

    share_bytes = reply_bytes = secret_bytes = 32

    def begin(self) -> tuple[bytes, Finish]:
        """(share, how to finish) with a fresh private key."""
        private = X25519PrivateKey.generate()
        return private.public_key().public_bytes_raw(), lambda reply: self._secret(private, reply)

    def reply(self, share: bytes) -> tuple[bytes, bytes]:
        """(reply, secret) to a share; raises KeyExchangeError."""
        private = X25519PrivateKey.generate()
        return private.public_key().public_bytes_raw(), self._secret(private, share)

    def _secret(self, private: X25519PrivateKey, public: bytes) -> bytes:
        try:
            return private.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as error:
            raise KeyExchangeError(f"X25519: the peer's part is refused: {error}") from None


class MlKem:
    """FIPS 203. An altered reply is not noticed here: the secrets then differ without a word (6.3)."""

    secret_bytes = 32

    def __init__(
        self,
        private: type[MLKEM768PrivateKey] | type[MLKEM1024PrivateKey],
        public: type[MLKEM768PublicKey] | type[MLKEM1024PublicKey],
        size_bytes: tuple[int, int],
    ) -> None:
        self._private = private
        self._public = public
        self.share_bytes, self.reply_bytes = size_bytes

    def begin(self) -> tuple[bytes, Finish]:
        """(encapsulation key, how to finish) with a fresh private key."""
        private = self._private.generate()

        def finish(reply: bytes) -> bytes:
            try:
                return private.decapsulate(reply)
            except ValueError as error:
                raise KeyExchangeError(f"ML-KEM: the reply is refused: {error}") from None

        return private.public_key().public_bytes_raw(), finish

    def reply(self, share: bytes) -> tuple[bytes, bytes]:
        """(ciphertext, secret) for an encapsulation key; raises KeyExchangeError if it is none (7.2)."""
        try:
            secret, reply = self._public.from_public_bytes(share).encapsulate()
        except ValueError as error:
            raise KeyExchangeError(f"ML-KEM: the share is refused: {error}") from None
        return reply, secret


class Hybrid:
    """Two agreements side by side, the parts joined in order: ML-KEM, then X25519, as TLS has X25519MLKEM768.

    draft-ietf-tls-ecdhe-mlkem, section 4: so the share, so the reply and so the secret.
    """

    def __init__(self, first: KeyAgreement, second: KeyAgreement) -> None:
        self._first, self._second = first, second
        self.share_bytes = first.share_bytes + second.share_bytes
        self.reply_bytes = first.reply_bytes + second.reply_bytes
        self.secret_bytes = first.secret_bytes + second.secret_bytes

    def begin(self) -> tuple[bytes, Finish]:
        """(both shares, how to finish) with fresh private keys."""
        (first, finish_first), (second, finish_second) = self._first.begin(), self._second.begin()
        cut = self._first.reply_bytes
        return first + second, lambda reply: finish_first(reply[:cut]) + finish_second(reply[cut:])

    def reply(self, share: bytes) -> tuple[bytes, bytes]:
        """(both replies, both secrets); raises KeyExchangeError."""
        cut = self._first.share_bytes
        first, second = self._first.reply(share[:cut]), self._second.reply(share[cut:])
        return first[0] + second[0], first[1] + second[1]


class _PublicKey(Protocol):
    def verify(self, signature: bytes, data: bytes, /) -> None: ...


class _PrivateKey(Protocol):
    def sign(self, data: bytes, /) -> bytes: ...
    def public_key(self) -> _PublicKey: ...


@dataclass(frozen=True)
class Signing:
    """A signature scheme; sizes in bytes."""

    name: str
    signature_bytes: int
    generate: Callable[[], _PrivateKey]


@dataclass(frozen=True)
class Profile:
    """Which algorithms an exchange uses. With several signatures, every one of them must verify.

    The hash is SHA-384 in all. `suites`: what may protect the data.
    """

    name: str
    agreement: KeyAgreement
    signings: tuple[Signing, ...]
    suites: tuple[str, ...]

    @property
    def signature_bytes(self) -> int:
        """All signatures, one behind the other."""
        return sum(signing.signature_bytes for signing in self.signings)


ED25519: Final = Signing("Ed25519", 64, Ed25519PrivateKey.generate)
ML_DSA_65: Final = Signing("ML-DSA-65", 3309, MLDSA65PrivateKey.generate)
ML_DSA_87: Final = Signing("ML-DSA-87", 4627, MLDSA87PrivateKey.generate)
ML_KEM_768: Final = MlKem(MLKEM768PrivateKey, MLKEM768PublicKey, (1184, 1088))
ML_KEM_1024: Final = MlKem(MLKEM1024PrivateKey, MLKEM1024PublicKey, (1568, 1568))

PROFILES: Final = {
    profile.name: profile
    for profile in (
        Profile("cnsa2", ML_KEM_1024, (ML_DSA_87,), (AES_256_GCM,)),
        Profile("eu-hybrid", Hybrid(ML_KEM_768, X25519()), (ED25519, ML_DSA_65), (AES_256_GCM, CHACHA20_POLY1305)),
        Profile("classic", X25519(), (ED25519,), (AES_256_GCM, CHACHA20_POLY1305)),
    )
}


def find_profile(name: str, suite: str = AES_256_GCM) -> Profile:
    """The profile of that name; raises ConfigurationError if there is none, or if it does not allow `suite`."""
    if name not in PROFILES:
        raise ConfigurationError(f"profile '{name}' is unknown: use {MANUAL}, {', '.join(PROFILES)}")
    profile = PROFILES[name]
    if suite not in profile.suites:
        raise ConfigurationError(f"profile {name} with suite '{suite}' is refused: use {' or '.join(profile.suites)}")
    return profile


class PublicIdentity:
    """Who somebody is to the others: a name and its public keys, known beforehand as from a certificate."""

    def __init__(self, name: str, signings: Sequence[Signing], keys: Sequence[_PublicKey]) -> None:
        self.name = name
        self._parts = tuple(zip(signings, keys, strict=True))

    def check(self, signature: bytes, data: bytes) -> None:
        """Raises KeyExchangeError unless every signature verifies."""
        start = 0
        for signing, key in self._parts:
            end = start + signing.signature_bytes
            try:
                key.verify(signature[start:end], data)
            except InvalidSignature:
                raise KeyExchangeError(f"the {signing.name} signature of {self.name} does not verify") from None
            start = end
        if start != len(signature):
            raise KeyExchangeError(f"{len(signature)} bytes of signatures of {self.name}, where {start} belong")


class Identity:
    """A host's name with its private keys, one for each signature of the profile, made here."""

    def __init__(self, name: str, profile: Profile) -> None:
        self._keys = tuple(signing.generate() for signing in profile.signings)
        self.name = name
        self.public = PublicIdentity(name, profile.signings, [key.public_key() for key in self._keys])

    def sign(self, data: bytes) -> bytes:
        """All signatures of `data`, one behind the other."""
        return b"".join(key.sign(data) for key in self._keys)
