"""Declared page loads over TLS, and what they came to. The loading itself is in `traffic.pages`.

A page is one main object, then the others over several connections at once, as a browser with HTTP/1.1 does it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from traffic.declared import check_common, check_range, limited_by, parse_services

KIND: Final = "web"

OBJECTS: Final = 71
"""Requests of the median desktop page (HTTP Archive, Web Almanac 2024, Page Weight): the main object and 70 more."""
MAIN_BYTES: Final = 18 * 1024
"""Its HTML (the same source)."""
OBJECT_BYTES: Final = (2_652 - 18) * 1024 // 70
"""The rest of its 2,652 KB, spread evenly (the same source; that all are of one size is an assumption)."""
CONNECTIONS: Final = 6
"""To one host at once: what browsers open with HTTP/1.1."""
PATIENCE_NS: Final = 10_000_000_000
"""Assumption: a page that is not there after ten seconds is given up."""

_MOST_BYTES: Final = 100_000_000  # of one page: it is held in memory
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "name": (str,),
    "kind": (str,),
    "src": (str,),
    "dst": (str,),
    "dscp": (int,),
    "objects": (int,),
    "main_bytes": (int,),
    "object_bytes": (int,),
    "connections": (int,),
    "repeat_s": (int, float),
    "start_ns": (int,),
    "stop_ns": (int,),
}


@dataclass(frozen=True)
class WebFlow:
    """Host `src` loads a page from host `dst` again and again. `objects`: all of the page, the main one included."""

    name: str
    kind: str
    src: str
    dst: str
    dscp: int
    objects: int
    main_bytes: int
    object_bytes: int  # of each other object
    connections: int  # at most, at once
    repeat_s: float  # from one page load's beginning to the next one's
    start_ns: int  # schedule time of the first page load
    stop_ns: int  # none begins at or after it

    def __post_init__(self) -> None:
        where = f"flow '{self.name}'"
        check_common(where, self.name, self.src, self.dst, self.dscp, self.start_ns, self.stop_ns)
        check_range(where, "objects", self.objects, 1, 1_000)
        check_range(where, "main_bytes", self.main_bytes, 1, _MOST_BYTES)
        check_range(where, "object_bytes", self.object_bytes, 1, _MOST_BYTES)
        check_range(where, "bytes of the page", self.page_bytes, 1, _MOST_BYTES)
        check_range(where, "connections", self.connections, 1, 100)
        check_range(where, "repeat_s", self.repeat_s, 0.01, 86_400)

    @property
    def page_bytes(self) -> int:
        """Of all bodies."""
        return self.main_bytes + (self.objects - 1) * self.object_bytes


def parse_web(declarations: Iterable[Mapping[str, Any]], hosts: Collection[str] | None = None) -> tuple[WebFlow, ...]:
    """The page loads of a list of dictionaries with exactly the fields of `WebFlow`; raises FlowError."""
    return parse_services(WebFlow, _TYPES, declarations, hosts)


@dataclass(frozen=True)
class Site:
    """A page's objects by number, 0 the main one: bytes that nobody can guess and both ends know beforehand."""

    seed: bytes
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, flow: WebFlow, seed: bytes) -> Site:
        """The page of a flow."""
        return cls(seed, (flow.main_bytes, *[flow.object_bytes] * (flow.objects - 1)))

    @cached_property
    def bodies(self) -> tuple[bytes, ...]:
        """SHAKE-256 (FIPS 202) of the seed and the object's number."""
        return tuple(
            hashlib.shake_256(self.seed + number.to_bytes(4, "big")).digest(size)
            for number, size in enumerate(self.sizes)
        )

    @cached_property
    def digests(self) -> tuple[bytes, ...]:
        """SHA-256 of each body: what the client compares with what came."""
        return tuple(hashlib.sha256(body).digest() for body in self.bodies)


@dataclass(frozen=True)
class PageLoad:
    """One page load. `error`: why it failed; then times are those of what came before. Times in ms, None: not reached.

    `connect_ms`, `handshake_ms`: of each connection, the page's first one first: TCP's SYN to its answer, and then to
    the end of the TLS handshake at the client. `first_byte_ms`: from the request for the main object to its first byte.
    `load_ms`: from the first SYN to the last byte of the last object.
    """

    begun_ns: int  # schedule time
    connect_ms: tuple[float, ...]
    handshake_ms: tuple[float, ...]
    first_byte_ms: float | None
    load_ms: float | None
    received_bytes: int
    group: str | None
    busy_percent: float | None  # the machine's processors during the load
    error: str | None = None
    error_type: str | None = None  # name of its class in traffic.errors


def summarise_web(flow: WebFlow, loads: Sequence[PageLoad]) -> dict[str, Any]:
    """What internet.json says of a flow of page loads."""
    good = [load for load in loads if load.error is None]
    groups = sorted({load.group for load in good if load.group is not None})
    busy = [load.busy_percent for load in good if load.busy_percent is not None]
    return {
        "name": flow.name,
        "kind": KIND,
        "src": flow.src,
        "dst": flow.dst,
        "page_bytes": flow.page_bytes,
        "loads": len(loads),
        "failed": len(loads) - len(good),
        "errors": list(dict.fromkeys(load.error for load in loads if load.error is not None))[:8],
        "group": ", ".join(groups) or None,
        "connect_ms": quantiles([value for load in good for value in load.connect_ms]),
        "handshake_ms": quantiles([value for load in good for value in load.handshake_ms]),
        "first_byte_ms": quantiles([load.first_byte_ms for load in good]),
        "load_ms": quantiles([load.load_ms for load in good]),
        "limited_by": limited_by(None, float(np.median(busy)) if busy else None) if good else None,
        "list": [asdict(load) for load in loads],
    }


def quantiles(values_ms: Sequence[float | None]) -> dict[str, float | None]:
    """{"p50", "p95", "max"} of what was measured."""
    measured = [value for value in values_ms if value is not None]
    if not measured:
        return {"p50": None, "p95": None, "max": None}
    p50, p95, most = np.percentile(measured, [50, 95, 100])
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3), "max": round(float(most), 3)}
