"""A campaign's comparison on disk: `comparison.json` and `comparison.html` in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from testbed.report.comparison.page import render
from testbed.report.comparison.table import compare


def write_comparison(folder: Path, rows: Sequence[tuple[Mapping[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """Write both; returns the document."""
    document = compare(rows)
    (folder / "comparison.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    (folder / "comparison.html").write_text(render(document))
    return document
