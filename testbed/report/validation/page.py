"""The validation on disk: one page that needs nothing else, and its data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from testbed.report.pages import fill
from testbed.report.validation.cells import Observed
from testbed.report.validation.plots import plots
from testbed.report.validation.statistics import QUANTILES
from testbed.report.validation.text import decimals, phase_text, score_cells, sentences, shape_cells


def render(document: dict[str, Any], series: Sequence[Observed]) -> str:
    """The HTML of what `score.validate` made."""
    rows = document["series"]
    return fill(
        "validation/validation.html.j2",
        document=document,
        rows=[
            {
                "row": row,
                "scores": score_cells(row)[4:7],
                "shapes": shape_cells(row),
                "quantiles": [decimals(value, 1) for value in row["quantiles_ms"].values()],
            }
            for row in rows
        ],
        judged=next(row for row in rows if row["name"] == "fitted model"),
        rival=next(row for row in rows if row["name"] == "fitted Gaussian"),
        points=[f"p{100 * at:g}" for at in QUANTILES],
        phases=phase_text(),
        notes=sentences(document),
        plots=plots(document, series),
    )


def write_validation(folder: Path, document: dict[str, Any], series: Sequence[Observed]) -> None:
    """Write `validation.json` and `validation.html` into the folder, which is made if need be; raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "validation.json").write_text(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    (folder / "validation.html").write_text(render(document, series))
