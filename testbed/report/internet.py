"""What services over TCP came to, for people: page loads and transfers, and why they failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

KINDS: Final = ("web", "tcp")
"""Of declared flows: those of services over TCP; the rest are the encrypted session's."""

FILE: Final = "internet.json"

WHAT: Final = {"web": "page loads", "tcp": "transfers"}
LATE_NS: Final = 50_000_000
STARVED_SHARE: Final = 0.05
"""Assumption: where over one in twenty of the player's ticks is over 50 ms late, the machine has no time to spare."""
NAMED_ERRORS: Final = 2
"""Errors that a reason names."""


def encrypted(flows: Iterable[Mapping[str, Any]]) -> bool:
    """Are any of these declared flows the encrypted session's?"""
    return any(flow.get("kind") not in KINDS for flow in flows)


def over_tcp(flows: Iterable[Mapping[str, Any]]) -> bool:
    """Are any of these declared flows services over TCP?"""
    return any(flow.get("kind") in KINDS for flow in flows)


def queues_behind(flow: Mapping[str, Any], flows: Iterable[Mapping[str, Any]]) -> bool:
    """May a declared encrypted flow lose packets to a queue that a service over TCP fills?

    If both are best effort and have an access link and direction in common. TCP fills a queue until it loses something.
    """
    return _best_effort(flow) and any(
        _best_effort(other) and (flow["src"] == source or flow["dst"] == sink)
        for other in flows
        if other.get("kind") in KINDS
        for source, sink in [(other["src"], other["dst"])[:: -1 if other["kind"] == "web" else 1]]
    )


def _best_effort(flow: Mapping[str, Any]) -> bool:
    """The last band of `testbed.kernel.queues`."""
    dscp = flow.get("dscp", 0)
    return dscp < 48 and dscp not in (44, 46) and not 8 <= dscp <= 39


def services(internet: dict[str, Any]) -> list[dict[str, Any]]:
    """One dictionary per declared flow, as `traffic.web` and `traffic.bulk` write them."""
    found: list[dict[str, Any]] = internet["services"]
    return found


def with_limits(internet: dict[str, Any], ticks: NDArray[np.void]) -> dict[str, Any]:
    """The same, but where the player was late too often it was the machine that limited all services.

    A guest sees only its own processor's idle time, not that its host gave it none. `ticks`: TICK_DTYPE.
    """
    starved = len(ticks) and np.mean(ticks["late_ns"] > LATE_NS) > STARVED_SHARE
    if not starved:
        return internet
    changed = [service | {"limited_by": service["limited_by"] and "machine"} for service in services(internet)]
    return internet | {"services": changed}


def findings(internet: dict[str, Any]) -> tuple[list[str], str]:
    """(why the check fails, what was there to judge)."""
    reasons: list[str] = []
    told = []
    for service in services(internet):
        tried = service["loads"] if service["kind"] == "web" else 1
        failed, what = service["failed"], WHAT[service["kind"]]
        who = f"{service['kind']}: {service['name']} ({service['src']}→{service['dst']})"
        if not tried:
            reasons.append(f"{who}: no page load was begun: let the run last longer")
        if failed:
            errors = "; ".join(service["errors"][:NAMED_ERRORS])
            reasons.append(f"{service['kind']}: {failed} of {tried} {what} failed: {service['name']}: {errors}")
        told.append(f"{service['name']} {tried - failed} of {tried} {what}")
    return reasons, ", ".join(told)


def limits(internet: dict[str, Any]) -> list[str]:
    """Warnings: what was held back by something else than the network."""
    words = {
        "generator": "by its generator, which took a whole processor",
        "machine": "by the machine, which had no time to spare",
    }
    return [
        f"{service['name']}: limited {words[service['limited_by']]}: its figures say little of the network"
        for service in services(internet)
        if service["limited_by"] in words
    ]


def rows(internet: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A row of figures per service: who, figures in the order one reads them (`told`), and what limited it."""
    for service in services(internet):
        head = {"name": service["name"], "src": service["src"], "dst": service["dst"], "kind": service["kind"]}
        yield head | {"failed": service["failed"], "limited_by": service["limited_by"] or "–", "told": _told(service)}


def _told(service: dict[str, Any]) -> list[tuple[str, str]]:
    if service["kind"] == "web":
        load, shake, first = (service[name] for name in ("load_ms", "handshake_ms", "first_byte_ms"))
        return [
            ("pages", f"{service['loads'] - service['failed']}/{service['loads']}"),
            ("load p50/p95", f"{_number(load['p50'])}/{_number(load['p95'])} ms"),
            ("handshake p50", f"{_number(shake['p50'])} ms"),
            ("first byte p50", f"{_number(first['p50'])} ms"),
            ("group", service["group"] or "–"),
        ]
    goodput, trips = service["goodput_bps"], service["rtt_ms"] or {}
    return [
        ("goodput", f"{_number(None if goodput is None else goodput / 1e6, 1)} Mbit/s"),
        ("retransmits", _number(service["retransmits"])),
        ("RTT min/mean/max", f"{'/'.join(_number(trips.get(name)) for name in ('min', 'mean', 'max'))} ms"),
        ("algorithm", service["algorithm"]),
        ("protected by", service["protect"]),
    ]


def _number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
