"""SRTP of calls, inside ESP: AEAD_AES_256_GCM (RFC 7714) by libsrtp. The RTP header stays readable, the rest does not.

Whoever takes ESP off, as an operator or a gateway does, still hears nothing. A receiver reads what marks a packet
behind SRTP alone: a call that comes without it is not taken.
"""

from __future__ import annotations

import json
import secrets
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from traffic.packets import CANARY_BYTES, RTP_BYTES, TAG
from traffic.private import write_private

KEYS_FILE: Final = "srtp_keys.json"

KEY_BYTES: Final = 32
SALT_BYTES: Final = 12
"""Master key and master salt of AEAD_AES_256_GCM (RFC 7714, 12)."""

SMALLEST_WINDOW: Final = 128
LARGEST_WINDOW: Final = 0x8000 - 1
"""What libsrtp takes as its replay window."""

_REPLAYED: Final = "replay check failed"  # as libsrtp's errors begin


@dataclass(frozen=True)
class CallKey:
    """Master key and salt of one direction of a call, and the SSRC that its packets bear."""

    ssrc: int
    master: bytes  # key, then salt

    def __repr__(self) -> str:
        return f"CallKey(ssrc={self.ssrc:#010x})"


def make_call_keys(flows: Iterable[int]) -> dict[int, CallKey]:
    """A fresh random key for each of these flow indices, all with different SSRCs."""
    keys: dict[int, CallKey] = {}
    used = {0}
    for flow in flows:
        ssrc = 0
        while ssrc in used:
            ssrc = secrets.randbits(32)
        used.add(ssrc)
        keys[flow] = CallKey(ssrc, secrets.token_bytes(KEY_BYTES + SALT_BYTES))
    return keys


def save_call_keys(keys: Mapping[int, CallKey], folder: Path) -> None:
    """Write `srtp_keys.json` for the owner's eyes alone; raises SessionError if it exists."""
    documents = [
        {
            "flow": flow,
            "ssrc": key.ssrc,
            "key": key.master[:KEY_BYTES].hex(),
            "salt": key.master[KEY_BYTES:].hex(),
            "profile": "AEAD_AES_256_GCM",
        }
        for flow, key in keys.items()
    ]
    write_private(folder / KEYS_FILE, json.dumps(documents, indent=1) + "\n")


class Sealer:
    """The sending end: RTP packets in order become SRTP packets, 16 bytes longer."""

    def __init__(self, key: CallKey) -> None:
        from pylibsrtp import Policy, Session  # here: without calls nobody needs the library

        profile = Policy.SRTP_PROFILE_AEAD_AES_256_GCM
        policy = Policy(key.master, Policy.SSRC_SPECIFIC, key.ssrc, profile)
        self._protect = Session(policy).protect

    def __call__(self, rtp: bytes) -> bytes:
        sealed: bytes = self._protect(rtp)
        return sealed


class Opener:
    """The receiving end: says which packet of the flow an SRTP packet is.

    `interval`: RTP clock ticks per packet. `window`: ESP's, in packets; SRTP's is as wide, so that SRTP loses none
    that ESP takes.
    """

    def __init__(self, key: CallKey, flow: int, canary: bytes, interval: int, window: int) -> None:
        from pylibsrtp import Error, Policy, Session

        profile = Policy.SRTP_PROFILE_AEAD_AES_256_GCM
        policy = Policy(key.master, Policy.SSRC_SPECIFIC, key.ssrc, profile)
        policy.window_size = min(max(window, SMALLEST_WINDOW), LARGEST_WINDOW)
        self._unprotect = Session(policy).unprotect
        self._refusals = (Error, ValueError)
        self._flow, self._canary, self._interval = flow, canary, interval

    def __call__(self, packet: bytes, fresh: bool) -> int | None:
        """The packet's number; None if it is not one of the flow. `fresh`: ESP has not seen it before.

        A copy that ESP has found out already SRTP refuses too: its number is then read from the header, which ESP
        vouches for. A fresh ESP packet with an old SRTP packet inside is none of the flow.
        """
        try:
            plain: bytes = self._unprotect(packet)
        except self._refusals as error:
            return None if fresh or not str(error).startswith(_REPLAYED) else self._numbered(packet)
        marked = plain[RTP_BYTES:]
        if marked[:CANARY_BYTES] != self._canary or len(marked) < CANARY_BYTES + TAG.size:
            return None
        flow, number = TAG.unpack_from(marked, CANARY_BYTES)
        return int(number) if flow == self._flow else None

    def _numbered(self, packet: bytes) -> int | None:
        sequence, timestamp = struct.unpack_from(">HI", packet, 2)
        number = timestamp // self._interval
        return int(number) if number & 0xFFFF == sequence else None
