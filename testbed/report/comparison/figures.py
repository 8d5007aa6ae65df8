"""The figures by which systems are compared: of each run one number, over several runs a mean and its interval."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, Final

from scipy.stats import t as student

CONFIDENCE: Final = 0.95

Summary = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """What is compared. `of`: a run's summary to the figure, None where the run has none. `digits` shown. `higher`:
    more of it is better."""

    key: str
    name: str
    unit: str
    digits: int
    meaning: str
    of: Callable[[Summary], float | None]
    higher: bool = False


@dataclass(frozen=True)
class Estimate:
    """The mean over `runs` runs and the half width of its interval; that is None for a single run."""

    mean: float
    half: float | None
    runs: int

    def text(self, digits: int) -> str:
        """Like '31.2 ± 0.4'."""
        shown = f"{self.mean:,.{digits}f}"
        return shown if self.half is None else f"{shown} ± {self.half:,.{digits}f}"


def estimate(values: Iterable[float | None]) -> Estimate | None:
    """Mean and Student's interval at CONFIDENCE of independent runs; None where there is no value.

    The runs of one system differ in their seed alone: the interval says how far the chance within the emulation goes,
    not how well the model fits the world.
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    if len(known) == 1:
        return Estimate(known[0], None, 1)
    half = float(student.ppf((1 + CONFIDENCE) / 2, len(known) - 1)) * stdev(known) / len(known) ** 0.5
    return Estimate(fmean(known), half, len(known))


def _flows(summary: Summary, *kinds: str) -> list[dict[str, Any]]:
    return [flow for flow in summary["flows"] if not kinds or flow["kind"] in kinds]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _worst(values: Iterable[float | None], worst: Callable[[Sequence[float]], float]) -> float | None:
    known = [value for value in values if value is not None]
    return worst(known) if known else None


def _delay(summary: Summary, point: int, *kinds: str) -> float | None:
    return _mean(flow["delay_ms"][point] if flow["delay_ms"] else None for flow in _flows(summary, *kinds))


def _lost(summary: Summary) -> float | None:
    sent = sum(flow["sent"] for flow in summary["flows"])
    return 100 * sum(flow["lost"] for flow in summary["flows"]) / sent if sent else None


def _available(summary: Summary) -> float | None:
    share = _mean(flow["available"] for flow in summary["flows"])
    return None if share is None else 100 * share


def _mos(summary: Summary) -> float | None:
    return _worst((flow.get("call", {}).get("MOS") for flow in _flows(summary, "voice")), min)


def _alert(summary: Summary) -> float | None:
    found = (flow["delivery"]["time_ms"]["p95"] for flow in _flows(summary, "alert") if "delivery" in flow)
    value = _worst(found, max)
    return None if value is None else value / 1e3


def _in_time(summary: Summary) -> float | None:
    share = _worst((flow.get("deadlines", {}).get("share") for flow in summary["flows"]), min)
    return None if share is None else 100 * share


def _page(summary: Summary) -> float | None:
    found = [
        (service["load_ms"] or {}).get("p50")
        for service in (summary["internet"] or {}).get("services", ())
        if service.get("kind") == "web"
    ]
    return _mean(found)


FIGURES: Final = (
    Figure(
        "round_trip_ms",
        "round trip",
        "ms",
        1,
        "median of the audit's probes there and back, mean of the pairs audited",
        lambda summary: _mean(pair["measured_ms"] for pair in summary["round_trips"]),
    ),
    Figure(
        "voice_p50_ms",
        "call delay p50",
        "ms",
        1,
        "one-way delay of calls' packets, mean of the calls",
        lambda summary: _delay(summary, 50, "voice"),
    ),
    Figure(
        "voice_p99_ms",
        "call delay p99",
        "ms",
        1,
        "the same, 99th percentile",
        lambda summary: _delay(summary, 99, "voice"),
    ),
    Figure("lost_percent", "packets lost", "%", 3, "of all packets sent, planned outages included", _lost),
    Figure(
        "available_percent",
        "availability",
        "%",
        2,
        "seconds in which nine packets of ten came, mean of the flows",
        _available,
        higher=True,
    ),
    Figure("mos", "call quality", "MOS", 2, "the worst call's estimate by ITU-T G.107, narrowband", _mos, higher=True),
    Figure("page_ms", "page load", "ms", 0, "median of page loads over TLS 1.3", _page),
    Figure("alert_s", "warning p95", "s", 2, "from a warning's broadcast until it is whole at the phone", _alert),
    Figure(
        "in_time_percent",
        "messages in time",
        "%",
        1,
        "those within their deadline, the worst flow",
        _in_time,
        higher=True,
    ),
    Figure(
        "off_plan_us",
        "off its plan",
        "µs",
        0,
        "how far links' delays were from the computed ones, median of the audit's probes",
        lambda summary: (summary["audit_us"] or {}).get("p50"),
    ),
)
