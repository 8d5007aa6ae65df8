"""A small run directory made up by hand: only for unit tests of how the report judges and shows a run.

Nothing in it was measured or emulated. The plan has two terminals, two satellites that swap at each of four
handovers, one gateway, a PoP and a host behind it; the samples are the plan plus a little made-up noise.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from testbed.ground.records import SAMPLE_DTYPE, TICK_DTYPE
from testbed.ground.units import parse_utc_ns
from testbed.plan.expected import path_delay_ns
from testbed.plan.model import STEP_DTYPE, Event, Lan, Link, Node, PathStep, Plan, Route, save
from traffic.records import NOT_RECEIVED, PACKET_DTYPE

S = 1_000_000_000
MS = 1_000_000
DURATION_NS = 60 * S
HANDOVERS_NS = (12 * S, 27 * S, 42 * S, 57 * S)
WINDOW_NS = 60 * MS
SATELLITES = ("NORAD44714", "NORAD45123")
TERMINALS = ("ut-rome", "ut-milano")


def make_plan(**changes: Any) -> Plan:
    """The plan of the fixture; `changes` replace fields of it."""
    links = []
    for satellite in SATELLITES:
        for terminal in TERMINALS:
            links += [Link(terminal, satellite, "user", 64_000), Link(satellite, terminal, "user", 64_000)]
        links += [Link(satellite, "gw-milano", "feeder", 512_000), Link("gw-milano", satellite, "feeder", 512_000)]
    links += [Link("gw-milano", "pop-milan", "fibre", 512_000), Link("pop-milan", "gw-milano", "fibre", 512_000)]
    routes, events = [], []
    serving: dict[str, list[tuple[int, str]]] = {}
    for offset, terminal in enumerate(TERMINALS):
        for number, time_ns in enumerate((0, *HANDOVERS_NS)):
            satellite = SATELLITES[(number + offset) % 2]
            serving.setdefault(terminal, []).append((time_ns, satellite))
            routes.append(Route(time_ns, terminal, "default", satellite))
            if time_ns:
                before = SATELLITES[(number + offset + 1) % 2]
                detail = {"from": before, "to": satellite, "gateway_from": "gw-milano", "gateway_to": "gw-milano"}
                events.append(Event(time_ns, "handover", terminal, "slot", WINDOW_NS, detail))
    fields: dict[str, Any] = {
        "topology": "starlink-italy",
        "start_ns": parse_utc_ns("2026-06-14T06:00:00Z"),
        "duration_ns": DURATION_NS,
        "satellites": 10_544,
        "nodes": (
            *(Node(name, "host") for name in ("rome", "milano")),
            Node("dc-rome", "host", inside=False),
            *(Node(name, "terminal") for name in TERMINALS),
            *(Node(name, "satellite") for name in SATELLITES),
            Node("gw-milano", "gateway"),
            Node("pop-milan", "pop", nat=True),
        ),
        "links": tuple(links),
        "lans": (Lan("rome", "ut-rome"), Lan("milano", "ut-milano"), Lan("dc-rome", "pop-milan")),
        "routes": tuple(sorted(routes, key=lambda route: (route.time_ns, route.node))),
        "events": tuple(sorted(events, key=lambda event: event.time_ns)),
        "paths": tuple(
            path
            for terminal, host in zip(TERMINALS, ("rome", "milano"), strict=True)
            for path in (
                tuple(
                    PathStep(time_ns, (host, terminal, satellite, "gw-milano", "pop-milan", "dc-rome"))
                    for time_ns, satellite in serving[terminal]
                ),
                tuple(
                    PathStep(time_ns, ("dc-rome", "pop-milan", "gw-milano", satellite, terminal, host))
                    for time_ns, satellite in serving[terminal]
                ),
            )
        ),
        "steps": _steps(links),
        "flows": ({"name": "voice-rome"}, {"name": "web-milano"}),
        "traffic": {"esn": True, "window": 1024},
        "assumptions": (
            "Access overhead 6.5 ms one way: median of Italy less propagation and fibre.",
            "Length of a core fibre route: 1.5 times the great circle.",
        ),
        "manifest": {"seed": 1},
    }
    return Plan(**{**fields, **changes})


def _steps(links: list[Link]) -> np.ndarray:
    """One step a second; delays drift as a satellite rises and sets."""
    rows = []
    for number, link in enumerate(links):
        for second in range(60):
            phase = second / 60 * np.pi + (SATELLITES[1] in (link.a, link.b)) * 1.1
            base, swing = {"user": (9.4e6, 1.9e6), "feeder": (2.6e6, 0.7e6), "fibre": (0.9e6, 0.0)}[link.kind]
            delay_ns = round(base - swing * np.sin(phase))
            rows.append((number, second * S, True, delay_ns, 41_000_000, 0.0, delay_ns * 0.2998, 48.0))
    return np.array(rows, dtype=STEP_DTYPE)


@dataclass
class Files:
    """What the run left, to be bent by a test and then written. A field set to None is a file that is missing."""

    plan: Plan
    run: dict[str, Any] | None
    manifest: dict[str, Any] | None
    audit: dict[str, Any] | None
    flows: dict[str, Any] | None
    samples: np.ndarray | None
    ticks: np.ndarray | None
    packets: np.ndarray | None
    acts: list[dict[str, Any]] | None = field(default=None)

    def write(self, folder: Path) -> Path:
        """Write everything into `folder` as the runner does, and return it."""
        save(self.plan, folder / "plan")
        for name in ("run", "manifest", "audit", "flows"):
            if getattr(self, name) is not None:
                (folder / f"{name}.json").write_text(json.dumps(getattr(self, name), indent=1))
        for name, array in (("samples", self.samples), ("ticks", self.ticks), ("flows", self.packets)):
            if array is not None:
                np.save(folder / f"{name}.npy", array)
        if self.acts is not None:
            (folder / "adversary.jsonl").write_text("".join(json.dumps(act) + "\n" for act in self.acts))
        return folder

    def change_plan(self, **changes: Any) -> None:
        """Replace fields of the plan."""
        self.plan = replace(self.plan, **changes)


def make_files() -> Files:
    """A run in which everything went well."""
    plan = make_plan()
    samples = np.concatenate([_path_samples(plan), _link_samples(plan)])
    packets = np.concatenate([_packets(plan, 0, 0, 50), _packets(plan, 1, 3, 12)])
    return Files(
        plan=plan,
        run={
            "where": "uml",
            "kernel": "6.1.176",
            "started_utc": "2026-11-22T14:00:00Z",
            "ended": "complete",
            "error": None,
            "wall_s": 71.4,
            "played_ns": DURATION_NS,
        },
        manifest={
            "seed": 1,
            "catalogue": {"file": "starlink_20260614T0413.tle.gz", "sha256": "9c1f…"},
            "step_ms": 1000,
        },
        audit=make_audit(plan, samples),
        flows=_flows(packets),
        samples=samples,
        ticks=_ticks(),
        packets=packets,
    )


def make_attacked_files() -> Files:
    """A run with an adversary that flips bits, which the receiver saw, and with one link 5 ms off its plan."""
    files = make_files()
    assert files.audit is not None
    assert files.flows is not None
    assert files.samples is not None
    files.change_plan(traffic={"adversary": {"action": "bitflip"}}, warnings=("2 satellites were propagated 1.4 d on",))
    files.acts = [
        {"time_ns": (20 + k) * S, "action": "bitflip", "spi": 4097, "sequence": 1000 + 50 * k} for k in range(12)
    ]
    probes = files.samples
    served = np.searchsorted(HANDOVERS_NS, probes["tx_ns"], side="right") % 2 == 0  # ut-rome by NORAD44714
    crossed = np.where(probes["path"], served, True) & (probes["index"] == 0) & (probes["delay_ns"] >= 0)
    probes["delay_ns"][crossed] += 5 * MS
    files.audit = make_audit(files.plan, probes)
    voice = files.flows["flows"][0]
    voice["integrity"] = {"verdict": "attacked", "counts": {"GENUINE": 2988, "FORGED": 12}}
    files.flows["alarms"] = [
        {"host": "dc-rome", "verdict": "FORGED", "time_ns": act["time_ns"] + 15 * MS, "detail": "tag does not fit"}
        for act in files.acts
    ]
    files.flows["unattributed"] = {"dc-rome": {"UNKNOWN_SPI": 2}}
    return files


def _noise_ns(count: int, least: int, mean: int) -> np.ndarray:
    """Exponential noise on top of `least`: the same on every machine and with every NumPy."""
    golden = (np.arange(1, count + 1) * 0.6180339887498949) % 1
    return np.round(least - mean * np.log1p(-golden)).astype(np.int64)


def _path_samples(plan: Plan) -> np.ndarray:
    parts = []
    for number, path in enumerate(plan.paths):
        part = np.zeros(600, SAMPLE_DTYPE)
        part["path"], part["index"] = True, number
        part["tx_ns"] = np.arange(600) * 100 * MS + 7 * MS
        part["planned_ns"] = path_delay_ns(plan, path, part["tx_ns"]).astype(np.int64)
        part["delay_ns"] = part["planned_ns"] + _noise_ns(600, 120_000, 100_000 + 9_000 * number)
        for time_ns in HANDOVERS_NS:
            during = (part["tx_ns"] >= time_ns - 20 * MS) & (part["tx_ns"] < time_ns + WINDOW_NS)
            part["transition"] |= during
        part["delay_ns"][np.flatnonzero(part["transition"])[::2]] = -1
        part["delay_ns"][np.flatnonzero(part["transition"])[1::2]] += 6 * MS
        parts.append(part)
    return np.concatenate(parts)


def _link_samples(plan: Plan) -> np.ndarray:
    parts = []
    for number in range(len(plan.links)):
        part = np.zeros(120, SAMPLE_DTYPE)
        part["index"] = number
        part["tx_ns"] = np.arange(120) * 500 * MS + 3 * MS
        steps = plan.link_steps(number)
        part["planned_ns"] = steps["delay_ns"][np.searchsorted(steps["time_ns"], part["tx_ns"], side="right") - 1]
        part["delay_ns"] = part["planned_ns"] + _noise_ns(120, 45_000, 25_000 + 2_000 * number)
        parts.append(part)
    return np.concatenate(parts)


def make_audit(plan: Plan, samples: np.ndarray) -> dict[str, Any]:
    """The audit's document for these samples, by its rules."""
    steady = samples[~samples["transition"]]
    links = [
        {"link": number, "a": link.a, "b": link.b, "kind": link.kind}
        | _finding(steady[~steady["path"] & (steady["index"] == number)], 150, 300)
        for number, link in enumerate(plan.links)
    ]
    paths = [
        {"path": number, "from": path[0].nodes[0], "to": path[0].nodes[-1], "netem_hops": 3}
        | _finding(steady[steady["path"] & (steady["index"] == number)], 360, 600)
        for number, path in enumerate(plan.paths)
    ]
    transitions = samples[samples["transition"]]
    return {
        "valid": True,
        "invalid_reasons": [],
        "error_budget_us": {"kernel_timer": 55.0, "host_noise": 20.0, "tick": 0.1, "clock": 0.5},
        "budget": {"link_p50_us": 150, "link_p90_us": 300, "path_p50_us_per_hop": 120, "path_p90_us_per_hop": 200},
        "samples": len(samples),
        "links": links,
        "paths": paths,
        "transitions": {
            "samples": len(transitions),
            "lost": int(np.sum(transitions["delay_ns"] < 0)),
            "error_us": _quantiles_us(transitions),
        },
        "ticks": 600,
        "late_ticks": 0,
        "tick_late_ms": {"p50": 0.4, "p99": 1.6, "max": 12.5},
        "readback": {"checked": 120, "mismatches": []},
        "control": {"samples": 600, "error_us": {"p50": 61.0, "p90": 84.0, "p99": 410.0, "max": 900.0}},
    }


def _finding(samples: np.ndarray, p50_us: float, p90_us: float) -> dict[str, Any]:
    lost = int(np.sum(samples["delay_ns"] < 0))
    error_us = _quantiles_us(samples)
    return {
        "samples": len(samples),
        "judged": True,
        "lost": lost,
        "unplanned_losses": lost,
        "error_us": error_us,
        "passed": lost == 0 and error_us["p50"] <= p50_us and error_us["p90"] <= p90_us,
    }


def _quantiles_us(samples: np.ndarray) -> dict[str, float]:
    arrived = samples[samples["delay_ns"] >= 0]
    error_us = np.abs(arrived["delay_ns"] - arrived["planned_ns"]) / 1e3
    values = np.percentile(error_us, [50, 90, 99, 100])
    return {name: round(float(value), 3) for name, value in zip(("p50", "p90", "p99", "max"), values, strict=True)}


def _packets(plan: Plan, flow: int, path: int, rate_pps: int) -> np.ndarray:
    count = 60 * rate_pps
    part = np.zeros(count, PACKET_DTYPE)
    part["flow"], part["sequence"] = flow, np.arange(count)
    part["tx_ns"] = np.arange(count) * (S // rate_pps)
    part["delay_ns"] = path_delay_ns(plan, plan.paths[path], part["tx_ns"]) + _noise_ns(count, 300_000, 700_000)
    for time_ns in HANDOVERS_NS:
        lost = (part["tx_ns"] >= time_ns) & (part["tx_ns"] < time_ns + WINDOW_NS)
        part["delay_ns"][lost], part["verdict"][lost] = -1, NOT_RECEIVED
    return part


def _flows(packets: np.ndarray) -> dict[str, Any]:
    rows = []
    ends = (("voice-rome", "voice", "rome", "dc-rome", 50), ("web-milano", "web", "dc-rome", "milano", 12))
    for number, (name, kind, src, dst, rate_pps) in enumerate(ends):
        own = packets[packets["flow"] == number]
        arrived_ms = own["delay_ns"][own["delay_ns"] >= 0] / 1e6
        p50, p95, p99 = np.percentile(arrived_ms, [50, 95, 99])
        rows.append(
            {
                "name": name,
                "kind": kind,
                "src": src,
                "dst": dst,
                "rate_pps": rate_pps,
                "sent": len(own),
                "received": len(arrived_ms),
                "lost": len(own) - len(arrived_ms),
                "duplicated": 0,
                "reordered": 0,
                "one_way_delay_ms": {"p50": p50, "p95": p95, "p99": p99},
                "ipdv_ms": {"p50": 0.4, "p95": 1.3, "p99": 2.0},
                "gaps_over_200ms": 0,
                "integrity": {"verdict": "intact", "counts": {"GENUINE": len(arrived_ms)}},
            }
        )
    return {
        "valid": True,
        "invalid_reasons": [],
        "waiting_time_s": 1.5,
        "pacing_ms": {"p50": 0.1, "p99": 0.6},
        "flows": rows,
        "alarms": [],
        "unattributed": {},
    }


def _ticks() -> np.ndarray:
    ticks = np.zeros(600, TICK_DTYPE)
    ticks["time_ns"] = np.arange(600) * 100 * MS
    ticks["late_ns"] = _noise_ns(600, 50_000, 400_000)
    ticks["late_ns"][300] = 12_500_000
    ticks["changes"] = 14
    return ticks
