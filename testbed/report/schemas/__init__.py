"""JSON schemas (draft 2020-12) of what commands print and files hold, one file each; docs/schemas.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

_SUFFIX: Final = ".schema.json"


def names() -> list[str]:
    """Of what there are schemas."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in Path(__file__).parent.glob(f"*{_SUFFIX}"))


def text(name: str) -> str:
    """The schema of that name as it is written."""
    return (Path(__file__).parent / f"{name}{_SUFFIX}").read_text()


def schema(name: str) -> dict[str, Any]:
    """The schema of that name."""
    found: dict[str, Any] = json.loads(text(name))
    return found
