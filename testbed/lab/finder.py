"""Topologies by name (entry points of the group `testbed.topologies`) or by path, never by import."""

from __future__ import annotations

import difflib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from testbed.ground.errors import ScenarioError
from testbed.plan.plans import Asked
from testbed.plan.scenario import Parameter

GROUP = "testbed.topologies"


@dataclass(frozen=True)
class Topology:
    """What a topology file exposes: `scenario(**parameters)`, `TITLE` and `PARAMETERS`.

    For comparisons it may also have `WORKLOADS` (a name to the parameters that make the sites do that; without it
    'government' is what it does anyway) and `TRIALS` (what is to be tried on it, a name to parameters).
    """

    name: str
    title: str
    parameters: tuple[Parameter, ...]
    scenario: Callable[..., Asked]
    workloads: Mapping[str, Mapping[str, str]]
    trials: Mapping[str, Mapping[str, str]]


def names() -> list[str]:
    """Every installed topology."""
    return sorted(entry_points(group=GROUP).names)


def find(name: str) -> Topology:
    """The topology of that name, or in that file; raises ScenarioError with the nearest name."""
    if name.endswith(".py"):
        return _of_module(name, _load(Path(name)))
    found = entry_points(group=GROUP, name=name)
    if not found:
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean '{near[0]}'?" if near else "'testbed topologies' lists them"
        raise ScenarioError(f"unknown topology '{name}': {hint}")
    scenario = next(iter(found)).load()
    return _of_module(name, sys.modules[scenario.__module__])


def _of_module(name: str, module: ModuleType) -> Topology:
    for attribute in ("scenario", "TITLE", "PARAMETERS"):
        if not hasattr(module, attribute):
            raise ScenarioError(f"topology {name}: it defines no '{attribute}'; see topologies/starlink_italy.py")
    return Topology(
        Path(name).stem,
        module.TITLE,
        tuple(module.PARAMETERS),
        module.scenario,
        getattr(module, "WORKLOADS", {"government": {}}),
        getattr(module, "TRIALS", {}),
    )


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"topology_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ScenarioError(f"topology file '{path}' does not exist")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (SyntaxError, ImportError, NameError, AttributeError, TypeError, ValueError) as error:
        raise ScenarioError(f"topology file '{path}' cannot be read: {type(error).__name__}: {error}") from None
    return module
