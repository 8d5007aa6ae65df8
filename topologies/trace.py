"""One user on a link that was measured: delay, loss and rate are replayed from a file of samples.

Without a file the series is synthetic, drawn from published statistics of Starlink, and says so.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from testbed.emulation.planned import planned_topo
from testbed.plan import synthetic
from testbed.plan.replay import CENTRE, USER, Replay
from testbed.plan.scenario import Choice, Parameter, Switch, Whole, parse_parameters
from testbed.plan.texts import Text, Time
from testbed.plan.trace import Columns, read_series
from topologies.common import USER_BUFFER_NS
from topologies.services import Flow, bulk, voice
from topologies.starlink_italy import USER_DOWN_BPS, USER_UP_BPS
from topologies.threats import THREATS, threat

NAME = "trace"
TITLE = "A measured link replayed: a user reaches a data centre with the delay, loss and rate of a file"
SYNTHETIC_TITLE = "A SYNTHETIC series on one link, drawn from published statistics of Starlink: no measurement"


COLUMN = "COLUMN[:UNIT]"

PARAMETERS: tuple[Parameter, ...] = (
    Text("file", "", "samples: CSV, also .gz, or Parquet; without it a synthetic series", "FILE"),
    Text("time", "time", "when: ISO 8601, or seconds", "COLUMN"),
    Text("delay", "delay_ms", "delay, in ms unless said", COLUMN),
    Choice("kind", "rtt", "what the delay is: round trip, or one way and the same both ways", ("rtt", "one-way")),
    Text("delay_up", "", "one-way delays of their own per direction, instead of delay", COLUMN),
    Text("delay_down", "", "the other of the two", COLUMN),
    Text("loss", "", "share of packets lost; unit ratio or %", COLUMN),
    Text("rate_up", "", "rate of the uplink; unit bps, kbps, mbps, gbps", COLUMN),
    Text("rate_down", "", "rate of the downlink", COLUMN),
    Whole("up_percent", "55", "share of a round trip that goes up", 1, 99),
    Time("skip", "0", "begin so far into the file"),
    Choice("gaps", "error", "what a gap in the samples is", ("error", "down")),
    Time("gap", "5s", "without a sample for longer there is a gap"),
    Switch("esn", "on", "extended sequence numbers of ESP (RFC 4303)"),
    Whole("window", "1024", "anti-replay window of ESP, packets", 64, 4_096),
    Choice("generator", "struct", "what builds the packets", ("struct", "scapy")),
    *THREATS,
)

ASSUMPTIONS = (
    "the series is the whole way between user and data centre: the links beside the measured one add no delay",
    "between samples the earlier one holds; samples closer than the plan's step become one: median of delay and rate, "
    "mean of loss",
    "a round trip's loss is split evenly between the directions",
    "where the file has no rate the link carries 41 Mbit/s up and 282 Mbit/s down (medians of Starlink in Italy)",
    "the link's best-effort buffer holds 80 ms of its highest rate",
)


def scenario(**parameters: str) -> Replay:
    """What to replay with these parameters, as written by people; raises ScenarioError, or PlanError for the file."""
    values = parse_parameters(NAME, PARAMETERS, parameters)
    series = None
    if values["file"]:
        columns = Columns(**{field.name: values[field.name] for field in fields(Columns)})
        series = read_series(Path(values["file"]), columns, values["up_percent"] / 100)
    share = f"{values['up_percent']} % of a round trip goes up, where access waits for its grant, the rest down"
    return Replay(
        name=NAME,
        title=TITLE if series is not None else SYNTHETIC_TITLE,
        series=series,
        up_share=values["up_percent"] / 100,
        skip_ns=values["skip"],
        gaps=values["gaps"],
        limit_ns=values["gap"],
        up_bps=USER_UP_BPS,
        down_bps=USER_DOWN_BPS,
        buffer_ns=USER_BUFFER_NS,
        flows=lambda duration_ns: flows(duration_ns, light=values["generator"] == "scapy"),
        traffic={name: values[name] for name in ("esn", "window", "generator")} | threat(values),
        parameters=values,
        assumptions=(*ASSUMPTIONS, share, *(() if series is not None else synthetic.ASSUMPTIONS)),
    )


def flows(duration_ns: int, *, light: bool) -> tuple[Flow, ...]:
    """A call and a transfer each way, 200 packets/s; `light`: 60, which Scapy can build."""
    if light:
        return (voice("voice-up", USER, CENTRE, duration_ns), bulk("bulk-down", CENTRE, USER, 10, duration_ns))
    return (
        voice("voice-up", USER, CENTRE, duration_ns),
        voice("voice-down", CENTRE, USER, duration_ns),
        bulk("bulk-up", USER, CENTRE, 30, duration_ns),
        bulk("bulk-down", CENTRE, USER, 70, duration_ns),
    )


topos = {"trace": lambda **parameters: planned_topo(scenario, **parameters)}
"""For `mn --custom topologies/trace.py --topo trace[,parameter=value…]`."""
