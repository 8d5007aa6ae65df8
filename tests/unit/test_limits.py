"""testbed.emulation.limits: what is missing is said beforehand, with the line that mends it."""

from __future__ import annotations

import resource
from types import SimpleNamespace
from typing import Any

import pytest

from testbed.emulation import limits
from testbed.ground.errors import MachineError


def plan(nodes: int) -> Any:
    return SimpleNamespace(nodes=range(nodes))


def test_a_small_network_needs_nothing() -> None:
    limits.prepare(plan(10))


def test_too_few_files_are_told_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    with pytest.raises(MachineError, match="10,512 nodes need 31,792 open files, this process may have 4,096: run"):
        limits.prepare(plan(10_512))


def test_too_few_namespaces_are_told_and_the_machine_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    limit = tmp_path / "max_net_namespaces"
    limit.write_text("1000\n")
    monkeypatch.setattr(limits, "_NAMESPACES_MAX", limit)
    monkeypatch.delenv("TESTBED_GUEST", raising=False)
    with pytest.raises(
        MachineError, match=r"this kernel allows 1,000: run 'sysctl -w user.max_net_namespaces=2256' as root"
    ):
        limits.prepare(plan(1_000))
    assert limit.read_text() == "1000\n"
    monkeypatch.setenv("TESTBED_GUEST", "1")
    limits.prepare(plan(1_000))
    assert limit.read_text() == "2256"
