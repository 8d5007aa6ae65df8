"""Documents held against their JSON schemas."""

from __future__ import annotations

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from testbed.report.schemas import schema


@cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schema(name))


def faults(name: str, document: Any) -> list[str]:
    """What is wrong with a document by the schema of that name, each with its place: the deepest causes."""
    found = []
    for error in validator(name).iter_errors(document):
        while error.context:  # of 'this or null' the one that was meant
            error = max(error.context, key=lambda one: len(one.absolute_path))
        found.append(f"{error.json_path}: {error.message}")
    return found
