"""testbed bench fidelity: the delay on the wire against the plan, ten minutes long, with ping beside it."""

from __future__ import annotations

import json
from typing import Final

from testbed.bench import networks
from testbed.bench.context import Context
from testbed.bench.inside import call
from testbed.bench.rows import Reference, Row
from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import RunError
from testbed.lab import launch, rundir
from testbed.orbits.walker import Shell
from testbed.plan.mesh import build_mesh_plan

SHELL: Final = Shell("A", 8_000e3, 53.0, planes=2, per_plane=4, phasing=0)
"""Twelve links: those along a plane nearly keep their delays, those between the planes change all the time."""

_TARGETS_MS: Final = {"p50": 0.1, "p90": 0.2, "p99": 1.0}
_PUBLISHED: Final = Reference("ms median of ping, published by Celestial", 0.995)
_SECONDS: Final = 600
_QUICK_SECONDS: Final = 30


def run(context: Context) -> list[Row]:
    """At each place that has netem: the worst link direction at each quantile, and ping's error over one link."""
    rows: list[Row] = []
    for place in context.places:
        if not context.impaired(place):
            continue
        seconds = _QUICK_SECONDS if context.quick else _SECONDS
        plan = build_mesh_plan(
            [SHELL], context.start_ns, seconds * NS_PER_S, tolerance_ns=10_000, pairs=[("A01-01", "A01-02")]
        )
        folder = rundir.create(plan, context.folder / f"fidelity-{place}")
        code = launch.play(folder, place, lambda _: None)
        if code:
            raise RunError(f"the run failed (exit code {code}): {(folder / 'runner.log').read_text().strip()[-300:]}")
        audit = json.loads((folder / "audit.json").read_text())
        links = [link for link in audit["links"] if link["samples"]]
        if not links:
            raise RunError(f"none of {len(audit['links'])} link directions was probed: the run was too short")
        probes = sum(link["samples"] for link in links)
        what = f"{place}, {seconds} s, worst of {len(links)} link directions"
        for name, target in _TARGETS_MS.items():
            worst = max(link["error_us"][name] for link in links) / 1e3
            published = _PUBLISHED if name == "p50" else None
            rows.append(Row(f"{what}: one-way delay error {name}", worst, "ms", "lower", target, published))
        rows.append(Row(f"{what}: probes lost of {probes:,}", sum(link["lost"] for link in links), "", "lower", 0))
        rows.append(Row(f"{place}: the audit calls itself valid", float(audit["valid"]), "", "higher", 1.0))
        rows.append(Row(f"{place}: late ticks of {audit['ticks']:,}", audit["late_ticks"], "", "lower", 0))
        pings = call(networks.ping_errors, place, folder, count=2 * min(seconds, 60))
        rows += [
            Row(
                f"{place}: ping's round trip less the planned one, {name}", pings[name], "ms", "lower", None, _PUBLISHED
            )
            for name in ("p50", "p99")
        ]
    return rows
