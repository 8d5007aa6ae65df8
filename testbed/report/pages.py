"""What the pages share: templates, filters, and the frame around each page (`page.html.j2`)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

TEMPLATES: Final = Path(__file__).parent
"""Templates are named by their path under this folder."""

ROWS_SHOWN: Final = 12
"""Longer tables and lists show this many rows and fold the rest away."""


def fill(template: str, **values: Any) -> str:
    """The HTML of a template; raises jinja2.UndefinedError where it asks for a value that is not given."""
    return _environment().get_template(template).render(**values)


def number(value: float | None, digits: int = 0) -> str:
    """A figure for people: thousands separated, `digits` decimals; a dash where nothing was measured."""
    return "–" if value is None else f"{value:,.{digits}f}"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["rows_shown"] = ROWS_SHOWN
    environment.filters |= {"number": number, "svg": Markup}
    return environment
