"""What every benchmark is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.lab.place import Place, why_not_native


@dataclass(frozen=True)
class Context:
    """Where to measure and how long. `folder`: empty, removed afterwards; `start_ns`: of plans, UTC since 1970."""

    folder: Path
    places: Sequence[Place]
    start_ns: int
    quick: bool = False
    record: bool = False
    catalogue: Path | None = None  # real elements, for the planning side

    def impaired(self, place: Place) -> bool:
        """Is there netem at that place? What needs none is measured without it too."""
        return place == "uml" or why_not_native() is None
