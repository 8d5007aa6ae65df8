"""What the verdict names of encrypted packets mean, in plain words, and which of them raise an alarm."""

from __future__ import annotations

from typing import Final

MEANINGS: Final = {
    "GENUINE": "Authentic, seen for the first time and in time. Delivered.",
    "REPLAY_IN_WINDOW": "An authentic packet that came again, soon after the first. Refused.",
    "REPLAY_OLD": "An authentic packet that came again, long after the first. Refused.",
    "LATE_OUTSIDE_WINDOW": "Authentic and never seen, but too late for the replay window. Refused; a loss, no attack.",
    "FORGED": "Its authentication tag does not fit: it was altered on the way, or made without the key. Refused.",
    "UNKNOWN_SPI": "It names a security association that does not exist. Refused.",
    "TRUNCATED": "Too short to be an encrypted packet: its end was cut off. Refused.",
    "FRAG_OVERLAP": "Fragments that overlap, as an evasion attack sends them. Refused.",
    "FRAG_INCOMPLETE": "Fragments of which some never came. Refused after a time-out.",
    "DOWNGRADE": "The far end asked for weaker protection than the policy wants. Refused before any data.",
    "PLAINTEXT_IN": "An unencrypted packet where the policy wants encryption: it was injected. Refused.",
    "PLAINTEXT_LEAK": "Protected content was seen unencrypted on the network. One packet is enough to fail.",
    "NONCE_REUSE": "Two different packets used the same key and nonce, which breaks the cipher.",
    "SEQ_EXHAUSTED": "The sequence numbers ran out. The sender must take a new key, not start again.",
    "EXPIRED_SA": "It came under a security association that has been retired. Refused.",
    "SUSPECT_DROP": "More packets were lost than the links account for.",
    "DELAY_ATTACK": "It took longer than the links and queues can account for: someone held it.",
    "REORDER_ATTACK": "It was overtaken by more packets than the links can account for.",
    "KEX_FAIL": "A key exchange failed or was tampered with. The old key stays in use.",
    "EXPOSURE": "What a listener can see without any key: addresses, sizes, timing.",
    "UNPROTECTED": "Came in the clear, as it was sent: nothing says whether it is genuine. Believed.",
    "SECOND_COPY": "The other of two copies that were sent over two paths at once. Removed; no attack.",
    "DUP_LINK": "A copy that the network made, as the scenario allows. Dropped; no attack.",
}
"""One sentence or two per name, as the receiver judges (RFC 4303 for the replay window and the authentication tag)."""

HARMLESS: Final = frozenset({"GENUINE", "LATE_OUTSIDE_WINDOW", "DUP_LINK", "EXPOSURE", "UNPROTECTED", "SECOND_COPY"})
"""Names that raise no alarm. Any other, known or not, does."""

CAUGHT_AS: Final[dict[str, tuple[str, ...]]] = {
    "replay-soon": ("REPLAY_IN_WINDOW",),
    "replay-late": ("REPLAY_OLD", "REPLAY_IN_WINDOW"),
    "replay": ("REPLAY_IN_WINDOW", "REPLAY_OLD"),
    "expired": ("EXPIRED_SA",),
    "bitflip": ("FORGED",),
    "flip-iv": ("FORGED",),
    "flip-icv": ("FORGED",),
    "flip-sequence": ("FORGED",),
    "flip-spi": ("UNKNOWN_SPI",),
    "truncate": ("TRUNCATED", "FORGED"),
    "random": ("FORGED",),
    "foreign-key": ("FORGED",),
    "splice": ("FORGED",),
    "plaintext": ("PLAINTEXT_IN",),
    "short-icv": ("FORGED", "TRUNCATED"),
    "null-cipher": ("FORGED",),
    "fragment-overlap": ("FRAG_OVERLAP",),
    "fragment-gap": ("FRAG_INCOMPLETE",),
    "fragment-flood": ("FRAG_INCOMPLETE",),
    "drop": ("SUSPECT_DROP",),
    "hold": ("DELAY_ATTACK",),
    "reorder": ("REORDER_ATTACK",),
    "kex-tamper": ("KEX_FAIL",),
    "kex-block": ("KEX_FAIL",),
    "kex-downgrade": ("DOWNGRADE",),
    "eavesdrop": (),
    "nonce-reuse": ("NONCE_REUSE",),
    "plaintext-leak": ("PLAINTEXT_LEAK",),
    "no-esn": ("DOWNGRADE",),
    "sequence-wrap": ("SEQ_EXHAUSTED",),
}
"""What a simulated attacker does, and the verdicts of which at least one must answer it; none: nobody can notice."""
