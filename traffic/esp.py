"""ESP in tunnel mode: RFC 4303 with AES-256-GCM-16 (RFC 4106) or ChaCha20-Poly1305 (RFC 7634), with or without
64-bit sequence numbers (ESN).

    SPI, 32 bits | sequence number, lower 32 | IV, 64 | ciphertext | ICV, 128
    ciphertext of: inner packet | padding 1 2 3 … | pad length, 8 bits | next header, 8

The IV is the sequence counter, never random: a key and an IV used twice would break the cipher. With ESN the upper half
of the number is authenticated but not sent. Over UDP (RFC 3948) these bytes are the payload of port 4500.
"""

from __future__ import annotations

import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from traffic.errors import ConfigurationError, SequenceExhausted
from traffic.packets import IP_IN_IP, IPV6_IN_IP, NO_NEXT_HEADER
from traffic.replay import REMEMBERED_IVS, IvMemory, Position, ReplayWindow, SeenSet

AES_256_GCM: Final = "AES-256-GCM-16"
CHACHA20_POLY1305: Final = "CHACHA20-POLY1305"
KEY_BYTES: Final = 32
SALT_BYTES: Final = 4
ICV_BYTES: Final = 16
SPI_BYTES: Final = 4
HEADER_BYTES: Final = 16  # SPI, sequence number, IV
SMALLEST_BYTES: Final = HEADER_BYTES + 4 + ICV_BYTES
"""The shortest ESP packet: padding makes the ciphertext a multiple of 4 bytes, and it holds at least the trailer."""
SMALLEST_SPI: Final = 256
"""SPI 1 to 255 are reserved, 0 is never sent (RFC 4303, 2.1)."""

_AEAD: Final[dict[str, type[AESGCM] | type[ChaCha20Poly1305]]] = {
    AES_256_GCM: AESGCM,
    CHACHA20_POLY1305: ChaCha20Poly1305,
}
_PADDING: Final = bytes(range(1, 256))
_TRAILERS: Final = {
    next_header: tuple(_PADDING[:pad] + bytes((pad, next_header)) for pad in (2, 1, 0, 3))  # by length modulo 4
    for next_header in (IP_IN_IP, IPV6_IN_IP, NO_NEXT_HEADER)
}
_WORD: Final = struct.Struct(">I")
_HIGHEST_HALF: Final = 0xFFFFFFFF
_EARLIER_EPOCHS: Final = 2  # tried in the second pass: old packets lie at most this far below the inferred epoch


def _cipher(suite: str, spi: int, key: bytes, salt: bytes) -> AESGCM | ChaCha20Poly1305:
    if not SMALLEST_SPI <= spi <= 0xFFFFFFFF:
        raise ConfigurationError(f"SPI {spi} is refused: choose {SMALLEST_SPI} to {0xFFFFFFFF}")
    if suite not in _AEAD or len(key) != KEY_BYTES or len(salt) != SALT_BYTES:
        raise ConfigurationError(
            f"SPI {spi}: suite '{suite}' with a key of {len(key)} and a salt of {len(salt)} bytes is refused: "
            f"use {' or '.join(_AEAD)} with {KEY_BYTES} and {SALT_BYTES}"
        )
    return _AEAD[suite](key)


def _last(esn: bool) -> int:
    """The last sequence number of an association (RFC 4303, 3.3.3)."""
    return (1 << 64) - 1 if esn else (1 << 32) - 1


class OutboundSa:
    """The sending end of a security association. `sequence`: the last number used. Raises ConfigurationError."""

    __slots__ = ("_encrypt", "_last", "_salt", "_spi_bytes", "esn", "sequence", "spi")

    def __init__(
        self, spi: int, key: bytes, salt: bytes, *, esn: bool = True, suite: str = AES_256_GCM, sequence: int = 0
    ) -> None:
        self._encrypt = _cipher(suite, spi, key, salt).encrypt
        self._salt = salt
        self._spi_bytes = _WORD.pack(spi)
        self._last = _last(esn)
        self.spi = spi
        self.esn = esn
        self.sequence = sequence

    def advance(self) -> int:
        """Use up the next sequence number. Raises SequenceExhausted."""
        if self.sequence == self._last:
            raise SequenceExhausted(f"SPI {self.spi:#x} has sent its last sequence number: make a new association")
        self.sequence += 1
        return self.sequence

    def encrypt(self, inner: bytes | bytearray, next_header: int = IP_IN_IP) -> bytes:
        """The ESP packet of an inner IPv4 (4) or IPv6 (41) packet, or of a dummy (59). Raises SequenceExhausted."""
        iv = self.advance().to_bytes(8, "big")
        spi, low = self._spi_bytes, iv[4:]
        plain = inner + _TRAILERS[next_header][len(inner) & 3]
        return spi + low + iv + self._encrypt(self._salt + iv, plain, spi + (iv if self.esn else low))


class InboundSa:
    """The receiving end: the key, the anti-replay `window`, the `seen` set, the `ivs`. Raises ConfigurationError."""

    __slots__ = ("_decrypt", "_salt", "esn", "ivs", "last", "seen", "spi", "window")

    def __init__(
        self,
        spi: int,
        key: bytes,
        salt: bytes,
        *,
        esn: bool = True,
        suite: str = AES_256_GCM,
        window: int = 1024,
        highest: int = 0,
        remembered_ivs: int = REMEMBERED_IVS,
    ) -> None:
        self._decrypt = _cipher(suite, spi, key, salt).decrypt
        self._salt = salt
        self.spi = spi
        self.esn = esn
        self.last = _last(esn)
        self.window = ReplayWindow(window, highest)
        self.seen = SeenSet()
        self.ivs = IvMemory(remembered_ivs)

    def decrypt(self, packet: bytes, high: int = 0) -> bytes | None:
        """The plaintext with its trailer, None if the ICV does not fit. `high`: upper half of the number, for ESN.

        `packet` has at least SMALLEST_BYTES.
        """
        associated = packet[:4] + _WORD.pack(high) + packet[4:8] if self.esn else packet[:8]
        try:
            return self._decrypt(self._salt + packet[8:16], packet[16:], associated)
        except InvalidTag:
            return None

    def authenticate(self, packet: bytes) -> tuple[int, bytes | None]:
        """(sequence number, plaintext with its trailer); plaintext None if the ICV fits in no epoch.

        With ESN an old packet fails with the inferred upper half. Only a second pass over the epochs before it tells
        it from a forgery. The window stays as it is.
        """
        low = int.from_bytes(packet[4:8], "big")
        if not self.esn:
            return low, self.decrypt(packet)
        inferred = self.window.infer_high(low)
        high = inferred & _HIGHEST_HALF  # after the last number of all there is only the first: a counter that wrapped
        plain = self.decrypt(packet, high)
        if plain is not None:
            return high << 32 | low, plain
        for high in range(inferred - 1, max(inferred - _EARLIER_EPOCHS, 0) - 1, -1):
            plain = self.decrypt(packet, high)
            if plain is not None:
                return high << 32 | low, plain
        return low, None

    def deliver(self, packet: bytes) -> tuple[int, bytes] | None:
        """(next header, inner packet) of an authentic, new and well-padded packet; else None. Moves the window.

        For a receiver that wants its packets and no verdicts. `packet` has at least SMALLEST_BYTES.
        """
        number, plain = self.authenticate(packet)
        if plain is None or self.window.position(number) is not Position.NEW:
            return None
        self.window.accept(number)
        return split_trailer(plain)

    def lacks_esn(self, packet: bytes) -> bool:
        """Whether a packet that does not authenticate would without ESN: its sender has the key and left ESN out."""
        if not self.esn:
            return False
        try:
            self._decrypt(self._salt + packet[8:16], packet[16:], packet[:8])
        except InvalidTag:
            return False
        return True

    def wrapped(self, number: int) -> bool:
        """Whether an authentic number is one from the start again, after the counter has come to its end."""
        return self.window.highest > self.last - self.window.size and number <= self.last >> 1


def split_trailer(plain: bytes) -> tuple[int, bytes] | None:
    """(next header, inner packet) of a decrypted payload; None if the padding is not 1, 2, 3 … (RFC 4303, 2.4)."""
    if len(plain) < 2:
        return None
    end = len(plain) - 2 - plain[-2]
    if end < 0 or plain[end:-2] != _PADDING[: plain[-2]]:
        return None
    return plain[-1], plain[:end]
