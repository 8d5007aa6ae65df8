"""The run directory: everything that goes into a run and everything that comes out."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from testbed.ground.errors import InputError
from testbed.ground.units import format_utc
from testbed.lab.runs import DEFAULT_PARENT, find
from testbed.plan import model, store
from testbed.plan.faults import FAULTS, INBOX
from testbed.plan.model import Plan

__all__ = ["DEFAULT_PARENT", "create", "find"]


def create(
    plan: Plan,
    out: Path | None,
    *,
    readback: bool = True,
    pcap: bool | Literal["links"] = False,
    faults: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """A new run directory, absolute: `out`, or runs/<topology>-<UTC>. Raises InputError if it is there already.

    faults: entries as `plan.faults` takes them. pcap: capture at the protected hosts, or on the links as well.
    """
    folder = (out or _fresh_name(plan.topology)).absolute()
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise InputError(f"run directory {folder} exists: runs are never overwritten, choose another --out") from None
    except OSError as error:
        raise InputError(f"run directory {folder}: {error.strerror}: choose a folder you may write to") from None
    (folder / INBOX).mkdir()
    model.save(plan, folder / "plan")
    store.write_parquet(plan, folder / "plan.parquet")
    _write(folder / "manifest.json", plan.manifest)
    (folder / FAULTS).write_text(json.dumps(list(faults), indent=1) + "\n")
    _write(folder / "job.json", {"readback": readback, "pcap": pcap, "nodes": len(plan.nodes)})
    return folder


def _fresh_name(topology: str) -> Path:
    stamp = format_utc(time.time_ns()).replace(":", "").replace("-", "")
    base = DEFAULT_PARENT / f"{topology}-{stamp}"
    number, folder = 1, base
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
