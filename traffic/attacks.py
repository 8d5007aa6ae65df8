"""What an attacker on the path can do, each as a short function: from a packet to what is sent, and when.

    def act(caught: Caught, memory: Memory) -> list[Sending | tuple[float, bytes]] | None

The list says what leaves: (delay in s, packet), and for the reordering attack after how many followers. An empty list
means that nothing does, None that the attacker passes on this packet for want of an occasion. If the action `takes`
the packet, the original is out of the path, and goes on only if it is in the list; otherwise it goes on in any case.
`verdicts`: what the attacked host must call it; empty if no host can notice.

Nobody on the path has a key. What needs one belongs to a faulty endpoint: traffic.insider.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from traffic.caught import Caught
from traffic.errors import AdversaryError
from traffic.esp import HEADER_BYTES, ICV_BYTES, KEY_BYTES, SALT_BYTES, SMALLEST_SPI, OutboundSa
from traffic.kexwire import Kind
from traffic.memory import Memory
from traffic.packets import INNER_PORT, udp_packet


class Sending(NamedTuple):
    """A packet to be sent `delay_s` from now; or, if `followers` is not 0, once so many packets of its association
    have passed, and after `delay_s` at the latest."""

    delay_s: float
    packet: bytes
    followers: int = 0


Function = Callable[[Caught, Memory], Sequence[Sending | tuple[float, bytes]] | None]


@dataclass(frozen=True)
class Action:
    """An action of the catalogue. `exchange`: it acts on messages of a key exchange, not on ESP."""

    name: str
    function: Function
    meaning: str
    verdicts: tuple[str, ...]
    takes: bool = False
    exchange: bool = False


ACTIONS: dict[str, Action] = {}
"""The catalogue, by name."""

SOON_S: Final = 0.05
"""Assumption: a copy sent this much after its original still falls into every anti-replay window."""

FLOOD: Final = 8
"""Assumption: unfinished datagrams per packet of a fragment flood; a host holds 4 MiB of them (Linux's default)."""

_TEXT: Final = b"This order was never encrypted."
_SEQUENCE_BIT, _IV_BIT = 4 * 8, 8 * 8  # where the fields begin in ESP
_PROPOSAL: Final = 24  # in the first fragment of a key exchange, behind its header: length, then the proposal's text
_KEEPALIVE: Final = b"\xff"


def _action(name: str, *verdicts: str, takes: bool = False, exchange: bool = False) -> Callable[[Function], Function]:
    def enter(function: Function) -> Function:
        meaning = (function.__doc__ or "").strip().splitlines()[0].rstrip(".")
        ACTIONS[name] = Action(name, function, meaning, verdicts, takes, exchange)
        return function

    return enter


# Replays: verdicts 1 to 3


@_action("replay-soon", "REPLAY_IN_WINDOW")
def replay_soon(caught: Caught, _memory: Memory) -> list[Sending]:
    """Sends a copy after 50 ms, inside the anti-replay window."""
    return [Sending(SOON_S, caught.packet)]


@_action("replay-late", "REPLAY_OLD", "REPLAY_IN_WINDOW")
def replay_late(caught: Caught, memory: Memory) -> list[Sending]:
    """Sends a copy after 10 s, when the window has passed by if the flow is fast enough."""
    return [Sending(memory.late_s, caught.packet)]


@_action("replay", "REPLAY_IN_WINDOW", "REPLAY_OLD")
def replay(caught: Caught, memory: Memory) -> list[Sending]:
    """Sends a copy after 50 ms, and of every other packet only after 10 s."""
    return [Sending(SOON_S if memory.acts % 2 else memory.late_s, caught.packet)]


@_action("expired", "EXPIRED_SA")
def expired(caught: Caught, memory: Memory) -> list[Sending] | None:
    """Sends what it recorded under an association that has been replaced since."""
    old = memory.recorded(caught)
    return None if old is None else [Sending(0, old)]


# Alterations: verdicts 5, 6, 7 and 9


@_action("bitflip", "FORGED", takes=True)
def bitflip(caught: Caught, _memory: Memory) -> list[Sending]:
    """Flips one bit of the ciphertext."""
    return [Sending(0, caught.flipped(8 * HEADER_BYTES + caught.sequence % (8 * len(caught.ciphertext))))]


@_action("flip-iv", "FORGED", takes=True)
def flip_iv(caught: Caught, memory: Memory) -> list[Sending]:
    """Flips one bit of the IV."""
    return [Sending(0, caught.flipped(_IV_BIT + memory.acts % 64))]


@_action("flip-icv", "FORGED", takes=True)
def flip_icv(caught: Caught, memory: Memory) -> list[Sending]:
    """Flips one bit of the integrity check value."""
    bits = 8 * ICV_BYTES
    return [Sending(0, caught.flipped(8 * len(caught.payload) - bits + memory.acts % bits))]


@_action("flip-sequence", "FORGED", takes=True)
def flip_sequence(caught: Caught, memory: Memory) -> list[Sending]:
    """Flips one bit of the sequence number, and sends the true packet behind, which must still be accepted."""
    return [Sending(0, caught.flipped(_SEQUENCE_BIT + memory.acts % 32)), Sending(0, caught.packet)]


@_action("flip-spi", "UNKNOWN_SPI", takes=True)
def flip_spi(caught: Caught, memory: Memory) -> list[Sending]:
    """Flips one bit of the SPI."""
    bit = memory.acts % 32
    if caught.spi == 1 << (8 * (3 - (bit >> 3)) + (bit & 7)):  # SPI 0 would be no ESP
        bit = (bit + 1) % 32
    return [Sending(0, caught.flipped(bit))]


@_action("truncate", "TRUNCATED", "FORGED", takes=True)
def truncate(caught: Caught, memory: Memory) -> list[Sending]:
    """Cuts the end off, one length after the other."""
    kept = caught.payload[: memory.acts % len(caught.payload)]
    if kept == _KEEPALIVE:  # no attack by any means: a NAT keepalive (RFC 3948, 2.3)
        kept = caught.payload[:2]
    return [Sending(0, caught.with_payload(kept))]


# Inventions: verdicts 8, 12 and 13


@_action("random", "FORGED")
def random_bytes(caught: Caught, memory: Memory) -> list[Sending]:
    """Sends random bytes of the same length under the same SPI and the next number."""
    number = (caught.sequence + 1 & 0xFFFFFFFF).to_bytes(4, "big")
    body = memory.chance.randbytes(len(caught.payload) - 8)
    return [Sending(0, caught.with_payload(caught.payload[:4] + number + body))]


@_action("foreign-key", "FORGED")
def foreign_key(caught: Caught, memory: Memory) -> list[Sending] | None:
    """Sends ESP that is well made, under the same SPI, but with a key of the attacker's own."""
    if caught.spi < SMALLEST_SPI:
        return None
    key, salt = memory.chance.randbytes(KEY_BYTES), memory.chance.randbytes(SALT_BYTES)
    own = OutboundSa(caught.spi, key, salt, sequence=caught.sequence)
    inner = udp_packet(caught.source, caught.destination, INNER_PORT, INNER_PORT, _TEXT)
    return [Sending(0, caught.with_payload(own.encrypt(inner)))]


@_action("splice", "FORGED")
def splice(caught: Caught, memory: Memory) -> list[Sending] | None:
    """Sends the first half of this packet with the second half of the one before."""
    other = memory.previous(caught)
    if other is None:
        return None
    half = (min(len(caught.ciphertext), len(other.ciphertext)) // 2 + 3) & ~3
    spliced = caught.ciphertext[:half] + other.ciphertext[half:]
    return [Sending(0, caught.with_esp(ciphertext=spliced, icv=other.icv))]


@_action("plaintext", "PLAINTEXT_IN")
def plaintext(caught: Caught, _memory: Memory) -> list[Sending]:
    """Sends a clear UDP packet with the outer addresses of the packet."""
    return [Sending(0, udp_packet(caught.source, caught.destination, INNER_PORT, INNER_PORT, _TEXT))]


@_action("short-icv", "FORGED", "TRUNCATED")
def short_icv(caught: Caught, _memory: Memory) -> list[Sending]:
    """Sends a copy with 8 bytes of its ICV, as a weaker suite would."""
    return [Sending(0, caught.with_esp(icv=caught.icv[:8]))]


@_action("null-cipher", "FORGED")
def null_cipher(caught: Caught, _memory: Memory) -> list[Sending]:
    """Sends clear text in an ESP packet, as if the cipher were NULL (RFC 2410)."""
    inner = udp_packet(caught.source, caught.destination, INNER_PORT, INNER_PORT, _TEXT)
    pad = -(len(inner) + 2) % 4
    body = inner + bytes(range(1, pad + 1)) + bytes((pad, 4))
    return [Sending(0, caught.with_esp(ciphertext=body, icv=bytes(ICV_BYTES)))]


# Fragments: verdicts 10 and 11


@_action("fragment-overlap", "FRAG_OVERLAP", takes=True)
def fragment_overlap(caught: Caught, memory: Memory) -> list[Sending]:
    """Sends the packet in two fragments that overlap by 8 bytes."""
    middle, number = (caught.carried_bytes // 2) & ~7, memory.next_identification()
    first = caught.fragment(0, middle, more=True, identification=number)
    return [
        Sending(0, first),
        Sending(0, caught.fragment(middle - 8, caught.carried_bytes, more=False, identification=number)),
    ]


@_action("fragment-gap", "FRAG_INCOMPLETE", takes=True)
def fragment_gap(caught: Caught, memory: Memory) -> list[Sending]:
    """Sends the packet in fragments of which the middle one is missing."""
    third, number = (caught.carried_bytes // 3) & ~7, memory.next_identification()
    return [
        Sending(0, caught.fragment(0, third, more=True, identification=number)),
        Sending(0, caught.fragment(2 * third, caught.carried_bytes, more=False, identification=number)),
    ]


@_action("fragment-flood", "FRAG_INCOMPLETE")
def fragment_flood(caught: Caught, memory: Memory) -> list[Sending]:
    """Sends the first fragments of eight datagrams that never become whole."""
    half = (caught.carried_bytes // 2) & ~7
    numbers = [memory.next_identification() for _ in range(FLOOD)]
    return [Sending(0, caught.fragment(0, half, more=True, identification=number)) for number in numbers]


# Withholding: verdicts 18 to 20


@_action("drop", "SUSPECT_DROP", takes=True)
def drop(_caught: Caught, _memory: Memory) -> list[Sending]:
    """Takes the packet away."""
    return []


@_action("hold", "DELAY_ATTACK", takes=True)
def hold(caught: Caught, memory: Memory) -> list[Sending]:
    """Sends the packet on after a while."""
    return [Sending(memory.hold_s, caught.packet)]


@_action("reorder", "REORDER_ATTACK", takes=True)
def reorder(caught: Caught, memory: Memory) -> list[Sending]:
    """Sends the packet on when so many others of its association have passed, after 10 s at the latest."""
    return [Sending(memory.late_s, caught.packet, memory.followers)]


# Key exchange: verdicts 12 and 21


@_action("kex-tamper", "KEX_FAIL", takes=True, exchange=True)
def kex_tamper(caught: Caught, memory: Memory) -> list[Sending]:
    """Flips one bit in the last third of each message of a key exchange."""
    begin = 8 * (len(caught.payload) * 2 // 3)
    return [Sending(0, caught.flipped(begin + memory.chance.randrange(8 * len(caught.payload) - begin)))]


@_action("kex-block", "KEX_FAIL", takes=True, exchange=True)
def kex_block(_caught: Caught, _memory: Memory) -> list[Sending]:
    """Takes every message of a key exchange away, so that keys age."""
    return []


@_action("kex-downgrade", "DOWNGRADE", takes=True, exchange=True)
def kex_downgrade(caught: Caught, _memory: Memory) -> list[Sending] | None:
    """Writes a weaker proposal into the OFFER of a key exchange."""
    message = caught.payload
    if message[5] != Kind.OFFER or message[6] or len(message) <= _PROPOSAL:
        return None
    end = _PROPOSAL + 1 + message[_PROPOSAL]
    weaker = b"NULL".ljust(message[_PROPOSAL], b" ")
    return [Sending(0, caught.with_payload(message[: _PROPOSAL + 1] + weaker + message[end:]))]


# Listening: verdict 22


@_action("eavesdrop")
def eavesdrop(_caught: Caught, _memory: Memory) -> list[Sending]:
    """Listens and sends nothing: SPI, number, class, size and time of what passes are in its ledger."""
    return []


def find_actions(written: str) -> tuple[Action, ...]:
    """The actions named in `written`, joined by '+'; raises AdversaryError."""
    names = written.split("+")
    for name in names:
        if name not in ACTIONS:
            raise AdversaryError(f"attack '{name}' is unknown: use {', '.join(ACTIONS)}, joined by '+'")
    return tuple(ACTIONS[name] for name in dict.fromkeys(names))
