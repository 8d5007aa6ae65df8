"""testbed bench plan: from elements to delays and paths, beside SGP4 and scipy step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from testbed.bench import skies
from testbed.bench.context import Context
from testbed.bench.inside import call
from testbed.bench.rows import Reference, Row
from testbed.ground.constants import NS_PER_S, SLOT_NS
from testbed.ground.errors import RunError
from testbed.orbits.grid import Grid
from testbed.orbits.walker import walker_catalogue

_STEPS = 100
_STEP_MS = 0.8
_HOUR_S = 3600
_HOUR_WALL_S = 25.0
_HOUR_MB = 2048.0
_DAY_S = 86_400
_DAY_WALL_S = 60.0
_QUICK_S = 300
_SLOPE = 1.1
_REPEATS = 3  # the best counts: a busy machine only ever adds
_SHELLS = ((36, 22), (72, 22), (72, 44), (144, 44))  # satellites double
_DURATIONS_S = (75, 150, 300, 600)


def run(context: Context) -> list[Row]:
    """The shell of 1,584, the real constellation, a day of slots, and how time grows. Needs no place."""
    start_ns = context.start_ns
    begin = time.perf_counter()
    _walk(72, 22, start_ns, 2)
    rows = [Row("start-up: compiling, or loading what was compiled", time.perf_counter() - begin, "s", "lower")]
    rows += _shell(start_ns)
    rows += _real(context)
    rows += _slots(context)
    return rows + _slopes(start_ns)


def _walk(planes: int, per_plane: int, start_ns: int, steps: int) -> Any:
    """Elements, then everything after them: what is timed."""
    catalogue = walker_catalogue([skies.shell(planes, per_plane)], start_ns, "bench")

    def timed() -> Any:
        constellation = skies.world(catalogue, start_ns, steps * NS_PER_S)
        return constellation, constellation.paths(start_ns, steps * NS_PER_S)

    return _best(timed)


def _best(work: Callable[[], Any]) -> tuple[float, Any]:
    """The shortest of some runs in seconds, and what the last one gave."""
    seconds = []
    for _ in range(_REPEATS):
        begin = time.perf_counter()
        given = work()
        seconds.append(time.perf_counter() - begin)
    return min(seconds), given


def _shell(start_ns: int) -> list[Row]:
    seconds, (constellation, paths) = _walk(72, 22, start_ns, _STEPS)
    links = constellation.graph(start_ns).pairs
    expected = np.sort(Grid(skies.shell(72, 22)).links(), axis=1)
    if {tuple(pair) for pair in links.tolist()} != {tuple(pair) for pair in expected.tolist()}:
        raise RunError("bench plan: the links from the elements are not the shell's +grid")
    told = skies.verify(constellation, paths, start_ns, [0, 1, 33, 66, _STEPS - 1], NS_PER_S)
    what = f"{len(constellation.catalogue):,} satellites, {len(links):,} links, 45 pairs"
    return [
        *_held(what, told),
        Row(
            f"{what}: a step of 1 s", seconds / _STEPS * 1e3, "ms", "lower", _STEP_MS,
            Reference("ms, sgp4 and scipy", told.plain_s * 1e3),
        ),
    ]  # fmt: skip


def _held(what: str, told: skies.Told) -> list[Row]:
    return [
        Row(
            f"{what}: greatest difference of a delay from sgp4 and scipy", told.worst_ns, "ns", "lower", skies.DELAY_NS
        ),
        Row(f"{what}: of a link's range", told.worst_m * 1e3, "mm", "lower", skies.RANGE_MM),
    ]


def _real(context: Context) -> list[Row]:
    duration_s = _QUICK_S if context.quick else _HOUR_S
    answer = _child(context, skies.hour, duration_s)
    told = skies.Told(answer["worst_ns"], answer["worst_m"], answer["plain_s"])
    what = f"{answer['satellites']:,} satellites ({answer['source']}), {answer['links']:,} links"
    wall_s = None if context.quick else _HOUR_WALL_S
    plain = Reference("s, sgp4 and scipy, from four steps", told.plain_s * duration_s)
    return [
        *_held(what, told),
        Row(f"{what}: {duration_s:,} s at 1 s", answer["seconds"], "s", "lower", wall_s, plain),
        Row(f"{what}: a step", answer["seconds"] / duration_s * 1e3, "ms", "lower", _HOUR_WALL_S / _HOUR_S * 1e3),
        Row(f"{what}: memory at its peak", answer["peak_mb"], "MB", "lower", _HOUR_MB),
        Row(f"{what}: changes of paths", answer["changes"], "", "lower"),
    ]


def _slots(context: Context) -> list[Row]:
    duration_s = 3 * _QUICK_S if context.quick else _DAY_S
    answer = _child(context, skies.day, duration_s)
    what = f"bent pipe, ten sites, {duration_s:,} s of slots"
    wall_s = None if context.quick else _DAY_WALL_S
    plain = Reference("s, sgp4 and numpy, from four slots", answer["plain_s"] * duration_s / (SLOT_NS / NS_PER_S))
    return [
        Row(f"{what}: elements to legs", answer["seconds"], "s", "lower", wall_s, plain),
        Row(f"{what}: a slot", answer["seconds"] / (duration_s / 15) * 1e3, "ms", "lower", _DAY_WALL_S / _DAY_S * 15e3),
        Row(f"{what}: memory at its peak", answer["peak_mb"], "MB", "lower"),
    ]


def _child(context: Context, work: Callable[..., dict[str, Any]], duration_s: int) -> dict[str, Any]:
    folder = context.folder / work.__name__
    folder.mkdir()
    file = None if context.catalogue is None else str(context.catalogue.absolute())
    return call(work, "native", folder, file=file, start_ns=context.start_ns, duration_s=duration_s)


def _slopes(start_ns: int) -> list[Row]:
    sizes = [planes * per_plane for planes, per_plane in _SHELLS]
    by_size = [_walk(planes, per_plane, start_ns, _STEPS)[0] for planes, per_plane in _SHELLS]
    by_time = [_walk(72, 22, start_ns, duration_s)[0] for duration_s in _DURATIONS_S]
    return [
        Row(f"time against satellites, {sizes[0]:,} to {sizes[-1]:,}: exponent", _slope(sizes, by_size), "", "lower",
            _SLOPE),
        Row(f"time against steps, {_DURATIONS_S[0]} to {_DURATIONS_S[-1]}: exponent", _slope(_DURATIONS_S, by_time), "",
            "lower", _SLOPE),
    ]  # fmt: skip


def _slope(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The exponent of the power law through the points, by least squares of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
