"""Pages' templates: a macro that is used is imported, also in parts that few runs have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPORT = Path(__file__).parents[2] / "testbed/report"
TEMPLATES = sorted(REPORT.rglob("*.j2"))
MACROS = {name for path in TEMPLATES for name in re.findall(r"{% macro (\w+)\(", path.read_text())}


def missing(text: str) -> set[str]:
    """Macros of ours that a template calls and neither defines nor imports."""
    imported = set(re.findall(r"\w+", " ".join(re.findall(r"{% from .* import (.*) with context %}", text))))
    defined = set(re.findall(r"{% macro (\w+)\(", text))
    return {name for name in MACROS - imported - defined if re.search(rf"\b{name}\(", text)}


@pytest.mark.parametrize("path", TEMPLATES, ids=[path.name for path in TEMPLATES])
def test_macros_are_imported(path: Path) -> None:
    assert missing(path.read_text()) == set()


def test_a_macro_that_is_not_imported_is_found() -> None:
    page = (REPORT / "report.html.j2").read_text()
    assert missing(page.replace(", reason_list with", " with")) == {"reason_list"}
