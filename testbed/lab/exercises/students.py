"""A student's seed: the same name gives the same seed on every machine, another name another sky."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Final

from testbed.ground.errors import InputError

SEED_BITS: Final = 31
"""So many bits of a digest, so that a seed is a positive int everywhere."""


def plain(name: str) -> str:
    """The name as seeds are made from it: without spaces around it, in lower case, Unicode's form NFC.

    Raises InputError for an empty one.
    """
    found = unicodedata.normalize("NFC", name.strip().lower())
    if not found:
        raise InputError("the student's name is empty: write --student NAME, the name that your seed was made from")
    return found


def seed_of(name: str) -> int:
    """The first 31 bits of the SHA-256 (FIPS 180-4) of the plain name in UTF-8; raises InputError."""
    digest = hashlib.sha256(plain(name).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> (32 - SEED_BITS)
