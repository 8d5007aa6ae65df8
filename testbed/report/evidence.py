"""What a run left in its directory, read once; every other module of the report works on this."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from testbed.ground.errors import RunError
from testbed.ground.records import EXPOSURE, SAMPLE_DTYPE, TICK_DTYPE
from testbed.plan.chosen import Chosen, read_chosen, with_chosen
from testbed.plan.faults import with_faults
from testbed.plan.model import Plan, load
from testbed.plan.observed import read_routing, with_routing
from testbed.report.internet import FILE, encrypted, over_tcp

PACKET_COLUMNS: Final = ("flow", "sequence", "tx_ns", "delay_ns", "verdict")
"""The columns of flows.npy, as traffic.records has them: a negative tx_ns or delay_ns means that there is no stamp."""

GENUINE: Final = 0
"""The verdict in flows.npy of a packet that was delivered."""

_NO_PACKETS: Final = np.zeros(0, [(name, "<i8") for name in PACKET_COLUMNS])


@dataclass(frozen=True)
class Evidence:
    """A run directory in memory. `audit` and `flows` are None, and arrays empty, where the run left nothing.

    `samples`: SAMPLE_DTYPE, shape (n,). `ticks`: TICK_DTYPE, shape (n,). `packets`: shape (n,), with at least
    PACKET_COLUMNS. `acts`: what a simulated attacker did, in order; None where none was at work.
    `routing`: what routing daemons did (`plan.observed`); None where the routes were the plan's.
    `exposure`: what each node could read (`testbed.report.exposure`); None where the run has no such record.
    `internet`: what services over TCP came to (`testbed.report.internet`); None where the plan has none.
    `chosen`: which system carried when; None where hosts have one.
    `gaps`: one line for each file that should be there and is not readable.
    """

    folder: Path
    plan: Plan
    manifest: dict[str, Any]
    run: dict[str, Any]
    audit: dict[str, Any] | None
    flows: dict[str, Any] | None
    samples: NDArray[np.void]
    ticks: NDArray[np.void]
    packets: NDArray[np.void]
    acts: tuple[dict[str, Any], ...] | None
    gaps: tuple[str, ...]
    routing: dict[str, Any] | None = None
    exposure: dict[str, Any] | None = None
    internet: dict[str, Any] | None = None
    chosen: Chosen | None = None


def read_evidence(folder: Path) -> Evidence:
    """Read the run directory `folder`.

    Raises PlanError if it holds no plan, RunError if it does not say how the run ended. Anything else that is
    missing or damaged becomes a line in `gaps`: what there is can still be shown.
    """
    chosen = read_chosen(folder)
    plan = with_chosen(with_routing(with_faults(load(folder / "plan"), folder), folder), chosen)
    gaps: list[str] = []
    run = _read_json(folder / "run.json", gaps)
    if run is None:
        raise RunError(f"{folder}: {gaps[0]}: the run is still going or was killed; wait for its end, or run it again")
    has_flows = encrypted(plan.flows)
    acts_file = folder / "adversary.jsonl"
    return Evidence(
        folder=folder,
        plan=plan,
        run=run,
        manifest=_read_json(folder / "manifest.json", gaps) or plan.manifest,
        audit=_read_json(folder / "audit.json", gaps),
        flows=_read_json(folder / "flows.json", gaps) if has_flows else None,
        samples=_read_array(folder / "samples.npy", np.zeros(0, SAMPLE_DTYPE), gaps),
        ticks=_read_array(folder / "ticks.npy", np.zeros(0, TICK_DTYPE), gaps),
        packets=_read_array(folder / "flows.npy", _NO_PACKETS, gaps) if has_flows else _NO_PACKETS,
        acts=_read_acts(acts_file, gaps) if acts_file.exists() else None,
        exposure=_read_json(folder / EXPOSURE, gaps) if (folder / EXPOSURE).exists() else None,
        internet=_read_json(folder / FILE, gaps) if over_tcp(plan.flows) else None,
        gaps=tuple(gaps),
        routing=read_routing(folder),
        chosen=chosen,
    )


def lost_tx_ns(packets: NDArray[np.void]) -> NDArray[np.int64]:
    """When the packets of one flow that were never delivered were sent: schedule time, ns, sorted, shape (lost,).

    Where the kernel gave no stamp, the time is interpolated between those of the packets around it.
    """
    delivered = np.unique(packets["sequence"][packets["verdict"] == GENUINE])
    lost = np.setdiff1d(packets["sequence"], delivered)
    stamped = np.sort(packets[packets["tx_ns"] >= 0], order="sequence")
    if not len(stamped):
        return np.full(len(lost), -1)
    tx_ns: NDArray[np.int64] = np.interp(lost, stamped["sequence"], stamped["tx_ns"]).astype(np.int64)
    return tx_ns


def _read_json(file: Path, gaps: list[str]) -> dict[str, Any] | None:
    try:
        document = json.loads(file.read_text())
    except FileNotFoundError:
        gaps.append(f"{file.name} is missing")
        return None
    except (OSError, ValueError) as error:
        gaps.append(f"{file.name} is damaged ({error})")
        return None
    if not isinstance(document, dict):
        gaps.append(f"{file.name} is damaged (not a JSON object)")
        return None
    return document


def _read_array(file: Path, empty: NDArray[np.void], gaps: list[str]) -> NDArray[np.void]:
    try:
        array: NDArray[np.void] = np.load(file)
    except FileNotFoundError:
        gaps.append(f"{file.name} is missing")
        return empty
    except (OSError, ValueError, EOFError) as error:
        gaps.append(f"{file.name} is damaged ({error})")
        return empty
    if not set(empty.dtype.names or ()) <= set(array.dtype.names or ()):
        gaps.append(f"{file.name} has the wrong columns")
        return empty
    return array


def _read_acts(file: Path, gaps: list[str]) -> tuple[dict[str, Any], ...]:
    acts: list[dict[str, Any]] = []
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        try:
            acts.append(json.loads(line))
        except ValueError as error:
            gaps.append(f"{file.name} is damaged (line {number}: {error})")
            break
    return tuple(acts)
