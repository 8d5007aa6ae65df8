"""Changes of netem packed in rows, one message each: what a player at scale sends.

A row is the message of `queues.change_netem`, of fixed length, with its fields in place: only delay, loss and limit are
written anew, for any number of link ends at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from testbed.kernel import queues

CHANGE_DTYPE: Final = np.dtype(
    {
        "names": ["index", "limit", "loss", "delay_ns"],
        "formats": ["<i4", "<u4", "<u4", "<i8"],
        "offsets": [20, 56, 60, 140],
        "itemsize": 160,
    }
)
"""struct nlmsghdr, struct tcmsg, the kind, struct tc_netem_qopt, then attributes, of which TCA_NETEM_LATENCY64."""

HELD_DTYPE: Final = np.dtype([("delay_ns", "<i8"), ("loss", "<u4"), ("limit", "<u4"), ("rate_bps", "<i8")])
"""What the kernel holds of a link end: netem's delay, loss in units of 1/(2^32 - 1), packets; the bottleneck's rate."""


def changes(indices: Sequence[int]) -> NDArray[np.uint8]:
    """A row of bytes for each interface index, shape (n, 160), to be filled by `fill`."""
    message = queues.change_netem(0, queues.Impairment(0, 0.0, 0), "")
    rows = np.tile(np.frombuffer(message.data, np.uint8), (len(indices), 1))
    _fields(rows)["index"] = indices
    return rows


def fill(rows: NDArray[np.uint8], held: NDArray[np.void]) -> None:
    """Write delay, loss and limit of `held`, shape (n,), HELD_DTYPE, into n rows."""
    fields = _fields(rows)
    for name in ("delay_ns", "loss", "limit"):
        fields[name] = held[name]


def _fields(rows: NDArray[np.uint8]) -> NDArray[np.void]:
    return rows.view(CHANGE_DTYPE)[:, 0]
