"""Where every satellite of a plan's catalogue is, as the page draws it: samples in a file of the run directory.

On the page's sphere a satellite stands above the point of the map below it: its vector is that of the subpoint's
geodetic latitude and longitude, as long as 1 + height / mean Earth radius. Between two samples the page goes straight.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import EARTH_MEAN_RADIUS_M, NS_PER_S
from testbed.ground.errors import PlanError
from testbed.orbits.catalogue import Catalogue
from testbed.orbits.frames import subpoint
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.walker import Shell, walker_catalogue
from testbed.plan.inputs import elements
from testbed.plan.model import Plan

POSITIONS: Final = "sky.npy"
"""In the run directory: int16, shape (n_samples, n_satellites, 3), little-endian."""

ABOUT: Final = "sky.json"
"""Beside it: what the numbers mean, and which satellites the plan uses."""

STEP_NS: Final = 30 * NS_PER_S
"""Schedule time between samples. A low orbit's chord of 30 s is 1 km below its arc: less than a pixel of the map."""

MOST_SAMPLES: Final = 960
"""Assumption: eight hours at STEP_NS, 60 MB for ten thousand satellites; what lasts longer is sampled less often."""

_BUILT_IN: Final = "built-in: "
_CHUNK: Final = 32  # samples whose positions are in memory at once
_LIMIT: Final = 32_767  # of int16


@dataclass(frozen=True)
class Sky:
    """What `ABOUT` says. Times are real seconds of the run, lengths are mean Earth radii."""

    satellites: int
    samples: int
    step_s: float
    unit: float  # of the numbers in POSITIONS
    serving: dict[str, int]  # of each satellite of the plan: its number in POSITIONS


def catalogue_of(plan: Plan, named: Sequence[str] = ()) -> Catalogue | None:
    """The catalogue that the plan was made from: `named` (as `--catalogue` takes them), else as its manifest says.

    None where there is none: a plan without orbits, or a file that is not in this folder with the same bytes.
    """
    told: dict[str, Any] = plan.manifest.get("catalogue", {})
    names = list(named)
    if not told and not names:
        return None
    if "shells" in plan.manifest:
        shells = [Shell(**shell) for shell in plan.manifest["shells"]]
        return walker_catalogue(shells, plan.start_ns, source=str(told["source"]))
    if not names:
        for part in told["parts"]:
            source = str(part["source"])
            if not source.startswith(_BUILT_IN) and not _same_file(Path(source), str(part["sha256"])):
                return None
            names.append(source.removeprefix(_BUILT_IN))
    return elements(names, plan.start_ns, told.get("select", ()))[0]


def _same_file(path: Path, sha256: str) -> bool:
    """Has a file of that name these bytes, as they are or uncompressed?"""
    if not path.is_file():
        return False
    if path.suffix == ".gz":
        with gzip.open(path) as file:
            return hashlib.sha256(file.read()).hexdigest() == sha256
    return hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def write_sky(plan: Plan, catalogue: Catalogue, folder: Path) -> Sky:
    """Sample the catalogue over the plan's time into `folder`; raises PlanError when it is not the plan's."""
    numbers = {name: number for number, name in enumerate(catalogue.node_names)}
    used = [node.name for node in plan.nodes if node.role == "satellite"]
    missing = [name for name in used if name not in numbers]
    if missing:
        raise PlanError(f"{catalogue.source}: no satellite {missing[0]}, which the plan uses: give its catalogue")
    span_ns = round(plan.duration_ns * plan.speed)
    step_ns = max(STEP_NS, -(-span_ns // MOST_SAMPLES))
    times = np.arange(0, span_ns + step_ns, step_ns, dtype=np.int64)
    parts = list(_vectors(catalogue, plan.start_ns, times))
    unit = max(float(np.nanmax(np.abs(part))) for part in parts) / _LIMIT
    samples = np.concatenate([np.round(np.nan_to_num(part) / unit) for part in parts]).astype("<i2")
    np.save(folder / POSITIONS, samples)
    serving = {name: numbers[name] for name in used}
    sky = Sky(len(catalogue), len(times), step_ns / plan.speed / NS_PER_S, unit, serving)
    (folder / ABOUT).write_text(json.dumps(vars(sky)) + "\n")
    return sky


def _vectors(catalogue: Catalogue, start_ns: int, times: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    """Vectors on the page's sphere at `times` after the start, some at once: (n, n_satellites, 3); nan: decayed."""
    ephemeris = Ephemeris(catalogue, start_ns, int(times[-1]))
    for low in range(0, len(times), _CHUNK):
        instants = start_ns + times[low : low + _CHUNK]
        latitude, longitude, height_m = subpoint(ephemeris.position_m(instants), instants[:, None])
        north, east, radius = np.radians(latitude), np.radians(longitude), 1.0 + height_m / EARTH_MEAN_RADIUS_M
        across = radius * np.cos(north)
        vectors = np.stack([across * np.cos(east), across * np.sin(east), radius * np.sin(north)], axis=-1)
        yield vectors.astype(np.float32)


def read_sky(folder: Path) -> Sky | None:
    """What `write_sky` left; None where it has not been."""
    try:
        return Sky(**json.loads((folder / ABOUT).read_text()))
    except FileNotFoundError:
        return None


def samples(folder: Path, first: int, count: int) -> bytes:
    """`count` samples from number `first` on, as the page reads them; fewer at the end."""
    stored: NDArray[np.int16] = np.load(folder / POSITIONS, mmap_mode="r")
    return stored[max(first, 0) : max(first, 0) + count].tobytes()
