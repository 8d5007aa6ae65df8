"""The rows of `flows.npy`: one per packet sent, and one more for every further authentic copy of it that arrived.

And those of `alarms.npy`: one per packet that raised an alarm, in the order of judgement.
"""

from __future__ import annotations

from typing import Final

import numpy as np

NOT_RECEIVED: Final = 255
"""In the column `verdict`: nothing authentic of that packet arrived within the waiting time."""

PACKET_DTYPE: Final = np.dtype(
    [
        ("flow", "<i4"),  # index into the session's flows
        ("sequence", "<i8"),  # number in the flow, from 0
        ("tx_ns", "<i8"),  # schedule time at which the kernel took the packet (TX_SCHED); -1: no stamp
        ("delay_ns", "<i8"),  # one way, TX_SCHED to RX; -1: lost, or no stamp
        ("verdict", "u1"),  # traffic.verdicts.Verdict of this copy, or NOT_RECEIVED
    ]
)

ALARM_DTYPE: Final = np.dtype(
    [
        ("time_ns", "<i8"),  # schedule time of arrival; -1: no stamp
        ("spi", "<i8"),  # -1: it belongs to no security association
        ("sequence", "<i8"),  # of ESP, as judged or, where nothing authenticated, as written; -1: none
        ("verdict", "u1"),  # traffic.verdicts.Verdict
    ]
)
