"""Declared services over TCP that topologies share, as plain data: page loads over TLS, and bulk transfers.

A page load is {"name", "kind": "web", "src", "dst", "dscp", "objects", "main_bytes", "object_bytes", "connections",
"repeat_s", "start_ns", "stop_ns"}, a transfer {"name", "kind": "tcp", "src", "dst", "dscp", "algorithm", "protect",
"seconds", "start_ns", "stop_ns"}; `traffic.web` and `traffic.bulk` give them meaning.
"""

from __future__ import annotations

from typing import Any, Final

from testbed.ground.errors import ScenarioError
from testbed.plan.scenario import Choice

Flow = dict[str, Any]

INTERNET: Final = Choice(
    "internet",
    "off",
    "TCP beside the encrypted flows: page loads over TLS, or an upload",
    ("off", "web", "cubic", "bbr"),
)

OBJECTS: Final = 71
MAIN_BYTES: Final = 18 * 1024
OBJECT_BYTES: Final = (2_652 - 18) * 1024 // (OBJECTS - 1)
"""The median desktop page: 71 requests, 2,652 KB, 18 KB of them HTML (HTTP Archive, Web Almanac 2024, Page Weight).
Assumption: all other objects are of one size."""

CONNECTIONS: Final = 6
"""To one host at once: what browsers open with HTTP/1.1."""

REPEAT_S: Final = 5.0
"""Assumption: from one page to the next."""

QUIET_NS: Final = 1_000_000_000
"""Assumption: nothing begins in the first second, and a transfer ends a second before the plan does."""

LEAST_NS: Final = 4_000_000_000
"""A plan that is shorter has no room for them."""

_NS_PER_S: Final = 1_000_000_000


def web(name: str, src: str, dst: str, duration_ns: int) -> Flow:
    """Host `src` loads the median page from host `dst` again and again."""
    page = {"objects": OBJECTS, "main_bytes": MAIN_BYTES, "object_bytes": OBJECT_BYTES, "connections": CONNECTIONS}
    return _service(name, "web", src, dst, duration_ns) | page | {"repeat_s": REPEAT_S}


def tcp(name: str, src: str, dst: str, duration_ns: int, *, algorithm: str = "cubic", protect: str = "none") -> Flow:
    """One transfer as fast as it goes, almost as long as the plan. `protect`: xfrm for the kernel's ESP."""
    flow = _service(name, "tcp", src, dst, duration_ns)
    seconds = (flow["stop_ns"] - flow["start_ns"]) // _NS_PER_S
    return flow | {"algorithm": algorithm, "protect": protect, "seconds": seconds}


def internet(word: str, client: str, server: str, duration_ns: int) -> tuple[Flow, ...]:
    """What the parameter `internet` asks for: nothing, pages from the server, or an upload to it.

    An upload and not a download: at the access link it shares the best-effort queue with no encrypted bulk of the same
    direction, whose packets it would push out. Raises ScenarioError for a plan that is too short.
    """
    if word == "off":
        return ()
    if duration_ns < LEAST_NS:
        raise ScenarioError(
            f"internet={word} needs {LEAST_NS // _NS_PER_S} s at least, this plan has {duration_ns / _NS_PER_S:g} s: "
            "add --duration"
        )
    if word == "web":
        return (web(f"web-{client}", client, server, duration_ns),)
    return (tcp(f"{word}-{client}-up", client, server, duration_ns, algorithm=word),)


def _service(name: str, kind: str, src: str, dst: str, duration_ns: int) -> Flow:
    times = {"start_ns": QUIET_NS, "stop_ns": duration_ns - QUIET_NS}
    return {"name": name, "kind": kind, "src": src, "dst": dst, "dscp": 0, **times}
