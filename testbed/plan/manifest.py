"""What reproduces a plan: its inputs, with versions and hashes."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from testbed.ground.units import format_utc
from testbed.orbits.catalogue import Catalogue


def provenance(topology: str, catalogue: Catalogue, start_ns: int, duration_ns: int, step_ns: int) -> dict[str, Any]:
    """The entries that every plan's manifest has, JSON types only."""
    return {
        "topology": topology,
        "start": format_utc(start_ns, 9),
        "duration_ns": duration_ns,
        "step_ns": step_ns,
        "catalogue": {
            "source": catalogue.source,
            "sha256": catalogue.sha256,
            "satellites": len(catalogue),
            "select": list(catalogue.filters),
            "parts": [asdict(part) for part in catalogue.parts],
        },
        "versions": {name: version(name) for name in ("satcom-testbed", "numpy", "sgp4")},
    }
