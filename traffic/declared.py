"""Declared services over TCP: reading their fields, and when the machine rather than the network limits them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeVar

from traffic.errors import FlowError

Limit = Literal["network", "generator", "machine"]
"""What held a transfer back: the path, the program that sends or receives, or a machine without idle time."""

FULL_PERCENT: Final = 95.0
"""From here on a processor is taken for full (issue 5: a flow limited by its generator says so)."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # it becomes a file's name
_STAT: Final = Path("/proc/stat")
_IDLE: Final = (3, 4)  # columns of its first line: idle, iowait (proc(5))
_COLUMNS: Final = 8  # the guest columns behind them are counted twice


class Service(Protocol):
    """What all declared services have."""

    @property
    def name(self) -> str: ...

    @property
    def src(self) -> str: ...

    @property
    def dst(self) -> str: ...


S = TypeVar("S", bound=Service)


def parse_services(
    make: type[S],
    types: Mapping[str, tuple[type, ...]],
    declarations: Iterable[Mapping[str, Any]],
    hosts: Collection[str] | None = None,
) -> tuple[S, ...]:
    """The services that dictionaries with exactly the fields of `types` declare; raises FlowError.

    `hosts`: the names that may be source or destination; not checked if None.
    """
    services = tuple(_parse(make, types, declaration) for declaration in declarations)
    names = [service.name for service in services]
    for service in services:
        if names.count(service.name) > 1:
            raise FlowError(f"flow '{service.name}': the name is used twice")
        for host in (service.src, service.dst):
            if hosts is not None and host not in hosts:
                known = ", ".join(sorted(hosts))
                raise FlowError(f"flow '{service.name}': host '{host}' is unknown: use one of {known}")
    return services


def _parse(make: type[S], types: Mapping[str, tuple[type, ...]], declaration: Mapping[str, Any]) -> S:
    where = f"flow '{declaration.get('name', '')}'"
    missing, surplus = types.keys() - declaration.keys(), declaration.keys() - types.keys()
    if missing or surplus:
        fields = ", ".join(sorted(missing or surplus))
        raise FlowError(f"{where}: {'lacks' if missing else 'does not know'} {fields}")
    for name, wanted in types.items():
        value = declaration[name]
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise FlowError(f"{where}: {name} {value!r} is not of type {wanted[0].__name__}")
    return make(**declaration)


def check_common(where: str, name: str, src: str, dst: str, dscp: int, start_ns: int, stop_ns: int) -> None:
    """What every service's fields must be; raises FlowError."""
    if not _NAME.fullmatch(name):
        raise FlowError(f"{where}: the name is refused: use letters, digits, dot, dash and underscore")
    if src == dst:
        raise FlowError(f"{where}: source and destination are both '{src}'")
    if not 0 <= dscp <= 63:
        raise FlowError(f"{where}: dscp {dscp} is not in 0..63")
    if not 0 <= start_ns < stop_ns:
        raise FlowError(f"{where}: it runs from {start_ns} to {stop_ns} ns, which is no time")


def check_range(where: str, name: str, value: float, least: float, most: float) -> None:
    """Raises FlowError."""
    if not least <= value <= most:
        raise FlowError(f"{where}: {name} {value:g} is refused: use {least:g} to {most:g}")


def cpu_ticks() -> tuple[int, int]:
    """(busy, all) time of the machine's processors since it started, in ticks (proc(5), /proc/stat)."""
    with _STAT.open() as file:
        columns = [int(word) for word in file.readline().split()[1 : _COLUMNS + 1]]
    total = sum(columns)
    return total - sum(columns[place] for place in _IDLE), total


def busy_percent(before: tuple[int, int], after: tuple[int, int]) -> float | None:
    """Of all processors' time between two readings of `cpu_ticks`; None if no tick passed."""
    total = after[1] - before[1]
    return round(100 * (after[0] - before[0]) / total, 1) if total else None


def limited_by(generator_percent: float | None, machine_percent: float | None) -> Limit:
    """What held a transfer back, as far as processors tell: one program's share of one, the machine's share of all."""
    if generator_percent is not None and generator_percent >= FULL_PERCENT:
        return "generator"
    if machine_percent is not None and machine_percent >= FULL_PERCENT:
        return "machine"
    return "network"
