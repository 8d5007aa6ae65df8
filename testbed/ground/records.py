"""What a run leaves in its directory: file names and columns, known to those who write and those who read.

plan/plan.json, plan/steps.npy   the plan that was played
plan.parquet                     the same as one table
manifest.json                    what reproduces the run
faults.json, inbox/              faults known beforehand, and those to begin now
faults.jsonl                     each fault's beginning and end
live.json, progress.json         while it plays: see joining
run.json                         where and when it was played, and whether it ended by itself
samples.npy                      one row per audit probe (SAMPLE_DTYPE)
ticks.npy                        one row per tick of the player (TICK_DTYPE)
audit.json                       the audit's judgement
flows.json, flows.npy            what each flow experienced: per flow, and per packet (traffic.records)
exposure.json                    what each node on the way could read of each flow
internet.json, internet/         what services over TCP came to; their key, and iperf3's own reports
alarms.npy                       one row per packet that raised an alarm (traffic.records)
ledger.json, ledger.npy          what taps on the way saw, where one was kept (traffic.ledger)
report.json, report.html         the report
sky.npy, sky.json, web.log       what a dashboard shows of the sky; what its server complained of
"""

from __future__ import annotations

from typing import Final

import numpy as np

EXPOSURE: Final = "exposure.json"

SAMPLE_DTYPE = np.dtype(
    [
        ("path", "?"),  # False: one link and direction (index into Plan.links); True: end to end (into Plan.paths)
        ("index", "<i4"),
        ("tx_ns", "<i8"),  # schedule time at which the kernel took the packet (TX_SCHED)
        ("delay_ns", "<i8"),  # measured one way, TX_SCHED to RX; -1: lost
        ("planned_ns", "<i8"),  # what the plan says for a packet sent at tx_ns, serialisation included
        ("transition", "?"),  # in the planned window of a handover: reported apart
    ]
)

TICK_DTYPE = np.dtype(
    [
        ("time_ns", "<i8"),  # when the plan wants it
        ("late_ns", "<i8"),  # how much later the kernel had acknowledged all of it
        ("changes", "<i4"),  # qdisc and route changes in this tick
    ]
)
