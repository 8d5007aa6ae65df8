"""What a playout buffer makes of a call: who comes too late is lost, and who comes early waits.

From it: the loss that the listener has, how bursty it is (BurstR, ITU-T G.107, 3.2), the delay mouth to ear, and the
breaks that one hears. Packets are taken as sent when they were due: that our own sender was late is no fault of the
network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from traffic.emodel import LABEL, Codec, call_over, mean_opinion_score, rating
from traffic.errors import ConfigurationError

BREAK_NS: Final = 200_000_000
"""Assumption: more than 200 ms without speech is heard as a break."""

SLOT_S: Final = 15
FIRST_SLOT_S: Final = 12
"""Starlink's slots begin at :12, :27, :42 and :57 of each minute, UTC (Tanveer et al., CoNEXT-Companion'23)."""

FALLING: Final = 0.998002
RISING: Final = 0.75
"""How slowly an adaptive buffer follows a delay that falls, and one that rises: algorithm 2 of Ramjee, Kurose, Towsley
and Schulzrinne, "Adaptive playout mechanisms for packetized audio applications in wide-area networks", INFOCOM 1994."""
DEVIATIONS: Final = 4.0
"""How many mean deviations it waits beyond the mean (the same)."""

TALKSPURT_NS: Final = 1_004_000_000
"""It changes its depth only between talkspurts, which last so long on average (ITU-T P.59, table 1)."""

_NS_PER_S: Final = 1_000_000_000
_NS_PER_MS: Final = 1e6


@dataclass(frozen=True)
class Buffer:
    """A playout buffer. 'fixed': the first packet waits `depth_ms`, the others follow at the sender's rate.

    'adaptive': as above, never deeper than `most_ms` beyond the mean delay, nor less than `depth_ms`. Raises
    ConfigurationError.
    """

    kind: Literal["fixed", "adaptive"] = "adaptive"
    depth_ms: float = 20.0  # assumption: one packet of speech
    most_ms: float = 200.0  # assumption: more is no conversation any more

    def __post_init__(self) -> None:
        if self.kind not in ("fixed", "adaptive"):
            raise ConfigurationError(f"playout buffer '{self.kind}' is unknown: use fixed or adaptive")
        if not 0 <= self.depth_ms <= self.most_ms < np.inf:
            raise ConfigurationError(
                f"playout buffer: depth_ms {self.depth_ms} and most_ms {self.most_ms} are no range"
            )


FIXED_60: Final = Buffer("fixed", 60.0)
"""Assumption: what many telephones have."""


def playout_ns(delay_ns: NDArray[np.int64], interval_ns: int, buffer: Buffer) -> NDArray[np.int64]:
    """Network and buffer delay with which each packet is played, shape (n,); -1: lost, or too late to be played.

    `delay_ns`: one way, by packet number, -1 where lost, shape (n,). What a receiver knows is off by a constant that is
    the same before and after, so no clock is shared.
    """
    arrived = delay_ns >= 0
    if not arrived.any():
        return np.full(len(delay_ns), -1, np.int64)
    if buffer.kind == "fixed":
        first = delay_ns[int(np.flatnonzero(arrived)[0])]
        target_ns = np.full(len(delay_ns), first + round(buffer.depth_ms * _NS_PER_MS))
    else:
        target_ns = _adaptive(delay_ns, arrived, interval_ns, buffer)
    return np.where(arrived & (delay_ns <= target_ns), target_ns, -1)


def _adaptive(
    delay_ns: NDArray[np.int64], arrived: NDArray[np.bool_], interval_ns: int, buffer: Buffer
) -> NDArray[np.int64]:
    """The delay that each packet is played at: set anew at each talkspurt by those that arrived before."""
    least, most = buffer.depth_ms * _NS_PER_MS, buffer.most_ms * _NS_PER_MS
    spurt = max(1, round(TALKSPURT_NS / interval_ns))
    mean = float(delay_ns[int(np.flatnonzero(arrived)[0])])
    deviation = 0.0
    targets = []
    for number, (delay, here) in enumerate(zip(delay_ns.tolist(), arrived.tolist(), strict=True)):
        if number % spurt == 0:
            target = round(mean + min(max(DEVIATIONS * deviation, least), most))
        targets.append(target)
        if here:
            weight = RISING if delay > mean else FALLING
            mean = weight * mean + (1 - weight) * delay
            deviation = FALLING * deviation + (1 - FALLING) * abs(mean - delay)
    return np.array(targets, np.int64)


def burst_ratio(lost: NDArray[np.bool_]) -> float:
    """Mean length of the bursts of loss over that of as much random loss, 1/(1 - p); at least 1, and 1 without loss."""
    count = int(np.count_nonzero(lost))
    if not count:
        return 1.0
    bursts = int(np.count_nonzero(np.diff(np.r_[False, lost].astype(np.int8)) == 1))
    return max(1.0, count / bursts * (1 - count / len(lost)))


def breaks(lost: NDArray[np.bool_], interval_ns: int) -> int:
    """How many times more than BREAK_NS of speech in a row is missing."""
    edges = np.flatnonzero(np.diff(np.r_[False, lost, False].astype(np.int8)))
    lengths = edges[1::2] - edges[::2]
    return int(np.count_nonzero(lengths * interval_ns > BREAK_NS))


def slots_of(tx_ns: NDArray[np.int64], start_ns: int, speed: float = 1.0) -> NDArray[np.int64]:
    """UTC (ns) at which the slot began that each packet was sent in. `start_ns`: UTC of schedule time 0."""
    shift, slot = FIRST_SLOT_S * _NS_PER_S, SLOT_S * _NS_PER_S
    utc_ns = start_ns + (tx_ns * speed).astype(np.int64)
    found: NDArray[np.int64] = (utc_ns - shift) // slot * slot + shift
    return found


def judge_call(
    tx_ns: NDArray[np.int64],
    delay_ns: NDArray[np.int64],
    interval_ns: int,
    codec: Codec,
    buffer: Buffer,
    start_ns: int,
    speed: float = 1.0,
) -> dict[str, Any]:
    """One direction of a call as JSON types, in all and per slot; None where nothing was played.

    `tx_ns`: schedule time of sending, of the same shape as `delay_ns` (see `playout_ns`).

    The delay mouth to ear is the mean of network and buffer, one packet's length and the codec's look-ahead.
    """
    delay = playout_ns(delay_ns, interval_ns, buffer)
    own_ms = interval_ns / _NS_PER_MS + codec.look_ahead_ms
    slots = slots_of(tx_ns, start_ns, speed)
    per_slot = [
        {"start_ns": int(slot), "packets": int(np.count_nonzero(slots == slot))}
        | _figures(delay[slots == slot], interval_ns, codec, own_ms)
        for slot in np.unique(slots)
    ]
    return {
        **_figures(delay, interval_ns, codec, own_ms),
        "label": LABEL + (f"; {codec.name} judged as {codec.stand_in}" if codec.stand_in else ""),
        "codec": codec.name,
        "buffer": buffer.kind,
        "per_slot": per_slot,
    }


def _figures(delay_ns: NDArray[np.int64], interval_ns: int, codec: Codec, own_ms: float) -> dict[str, Any]:
    lost = delay_ns < 0
    loss, ratio = float(np.mean(lost)) if len(lost) else 1.0, burst_ratio(lost)
    figures: dict[str, Any] = {
        "R": None,
        "MOS": None,
        "loss_effective": round(loss, 6),
        "burst_r": round(ratio, 3),
        "m2e_ms": None,
        "gaps": breaks(lost, interval_ns),
    }
    if loss < 1:
        m2e_ms = float(np.mean(delay_ns[~lost])) / _NS_PER_MS + own_ms
        r = rating(call_over(codec, m2e_ms, 100 * loss, ratio))
        figures |= {"R": round(r, 2), "MOS": round(mean_opinion_score(r), 3), "m2e_ms": round(m2e_ms, 3)}
    return figures
