"""The names of what a packet, or a whole flow, can be judged to be, and which of them mean an attack."""

from __future__ import annotations

import enum
from typing import Final


class Verdict(enum.IntEnum):
    """What a packet is; the number is its code in `flows.npy`."""

    GENUINE = 0
    """Authentic, new and delivered. No alarm."""
    LATE_OUTSIDE_WINDOW = 1
    """Authentic and never seen, but older than the anti-replay window: refused, lost by security. No alarm."""
    REPLAY_IN_WINDOW = 2
    """Authentic, and its number was accepted before, inside the window. Alarm."""
    REPLAY_OLD = 3
    """Authentic, and its number was seen before; older than the window, or of an earlier ESN epoch. Alarm."""
    FORGED = 4
    """The integrity check fails, or the content is not what the association carries: altered or invented. Alarm."""
    TRUNCATED = 5
    """Too short to be a whole packet, or a fragment of one. Alarm."""
    UNKNOWN_SPI = 6
    """ESP for which no security association exists. Alarm."""
    PLAINTEXT_IN = 7
    """Arrived in the clear where policy demands encryption. Alarm."""
    PLAINTEXT_LEAK = 8
    """A canary or an inner address was readable on the wire: one packet fails the run. Alarm."""

    FRAG_OVERLAP = 9
    """Fragments of one packet overlap or contradict each other: refused whole (RFC 5722). Alarm."""
    FRAG_INCOMPLETE = 10
    """Fragments of which some did not come in time, or more than memory holds. Alarm, unless loss explains it."""
    DOWNGRADE = 11
    """The peer offers or uses weaker protection than the policy demands. Alarm."""
    NONCE_REUSE = 12
    """Authentic, but its IV came before with another ciphertext: who has the key breaks the cipher. Alarm."""
    SEQ_EXHAUSTED = 13
    """Authentic, but numbered from the start again after the last number: the sender had to rekey. Alarm."""
    EXPIRED_SA = 14
    """Came under an association that is retired, after its grace. Alarm."""
    DUP_LINK = 15
    """Identical to a packet that came so shortly before that a link may have made the copy. No alarm."""
    SECOND_COPY = 22
    """The other of two copies that the sender sent over two paths: removed (traffic.duplication). No alarm."""
    # Verdicts over many packets; no single packet is judged so.
    SUSPECT_DROP = 16
    """More packets are missing than the links lose. Alarm."""
    DELAY_ATTACK = 17
    """Packets took longer than links and queues can hold them. Alarm."""
    REORDER_ATTACK = 18
    """Packets were overtaken by more than links can reorder. Alarm."""
    KEX_FAIL = 19
    """A key exchange failed. Alarm."""
    EXPOSURE = 20
    """What a listener without keys can read. No alarm."""
    UNPROTECTED = 21
    """Came in the clear, as the hosts agreed (traffic.clear): counted in place of GENUINE, and believed. No alarm."""

    @property
    def is_alarm(self) -> bool:
        """Whether one such packet means an attack or a breach."""
        return self not in _HARMLESS


_HARMLESS: Final = frozenset(
    {
        Verdict.GENUINE,
        Verdict.LATE_OUTSIDE_WINDOW,
        Verdict.DUP_LINK,
        Verdict.EXPOSURE,
        Verdict.UNPROTECTED,
        Verdict.SECOND_COPY,
    }
)
