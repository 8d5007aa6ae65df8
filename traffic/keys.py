"""Security associations of a session: one per source, destination and traffic class, with fresh random keys.

One association per class, because a priority queue reorders between classes and the anti-replay window would refuse
what it overtakes.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from traffic.errors import ConfigurationError
from traffic.esp import AES_256_GCM, KEY_BYTES, SALT_BYTES, SMALLEST_SPI, InboundSa, OutboundSa
from traffic.private import write_private

KEYS_FILE: Final = "keys.json"
WIRESHARK_FILE: Final = "esp_sa"

_WIRESHARK_CIPHER: Final = {
    AES_256_GCM: "AES-GCM with 16 octet ICV [RFC4106]"
}  # Wireshark has no ChaCha20-Poly1305 for ESP


@dataclass(frozen=True)
class Association:
    """What both ends of a one-way security association agree on, by hand or by an exchange (traffic.keying)."""

    src: str
    dst: str
    dscp: int
    spi: int
    key: bytes
    salt: bytes
    esn: bool
    window: int
    suite: str = AES_256_GCM

    def outbound(self) -> OutboundSa:
        """The sender's end, from sequence number 1."""
        return OutboundSa(self.spi, self.key, self.salt, esn=self.esn, suite=self.suite)

    def inbound(self) -> InboundSa:
        """The receiver's end."""
        return InboundSa(self.spi, self.key, self.salt, esn=self.esn, suite=self.suite, window=self.window)


def make_associations(
    classes: Iterable[tuple[str, str, int]], *, esn: bool = True, window: int = 1024, suite: str = AES_256_GCM
) -> dict[tuple[str, str, int], Association]:
    """An association for each different (source, destination, DSCP), with random key, salt and SPI."""
    associations: dict[tuple[str, str, int], Association] = {}
    used: set[int] = set()
    for src, dst, dscp in classes:
        if (src, dst, dscp) in associations:
            continue
        spi = 0
        while spi < SMALLEST_SPI or spi in used:
            spi = secrets.randbits(32)
        used.add(spi)
        key, salt = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(SALT_BYTES)
        associations[src, dst, dscp] = Association(src, dst, dscp, spi, key, salt, esn, window, suite)
    return associations


def load_keys(path: Path) -> list[Association]:
    """Read a file that `save_keys` or `write_keys` wrote; raises ConfigurationError that names file and entry."""
    try:
        documents = json.loads(path.read_text())
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}: make one with `python -m traffic keys`") from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: not JSON ({error})") from None
    if not isinstance(documents, list):
        raise ConfigurationError(f"{path}: a list of security associations was expected")
    associations = []
    for number, document in enumerate(documents):
        try:
            key, salt = bytes.fromhex(document["key"]), bytes.fromhex(document["salt"])
            association = Association(**(document | {"key": key, "salt": salt}))
            association.inbound()
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"{path}: entry {number} is no security association ({error})") from None
        associations.append(association)
    return associations


def wireshark_lines(associations: Iterable[Association]) -> list[str]:
    """Lines of Wireshark's table `esp_sa`, without wrapped line ends; addresses are '*', because the SPIs are unique.

    Wireshark 4.0 assumes 32-bit sequence numbers: it decrypts ESN packets but calls their ICV bad (issue 19658).
    Associations with a suite that it lacks have no line.
    """
    return [
        f'"IPv4","*","*","0x{sa.spi:08x}","{_WIRESHARK_CIPHER[sa.suite]}","0x{(sa.key + sa.salt).hex()}","NULL",""'
        for sa in associations
        if sa.suite in _WIRESHARK_CIPHER
    ]


def save_keys(associations: Iterable[Association], folder: Path) -> None:
    """Write `keys.json` and Wireshark's `esp_sa` for the owner's eyes alone; raises SessionError if one exists."""
    associations = list(associations)
    write_keys(associations, folder / KEYS_FILE)
    write_private(folder / WIRESHARK_FILE, "".join(line + "\n" for line in wireshark_lines(associations)))


def write_keys(associations: Iterable[Association], path: Path) -> None:
    """Write a key file for the owner's eyes alone; raises SessionError if it exists."""
    documents: list[dict[str, Any]] = [asdict(sa) | {"key": sa.key.hex(), "salt": sa.salt.hex()} for sa in associations]
    write_private(path, json.dumps(documents, indent=1) + "\n")


def replace_keys(associations: Iterable[Association], folder: Path) -> None:
    """Write the two files anew, which `save_keys` of this run made: keys that came by exchange. Raises SessionError."""
    for name in (KEYS_FILE, WIRESHARK_FILE):
        (folder / name).unlink(missing_ok=True)
    save_keys(associations, folder)
