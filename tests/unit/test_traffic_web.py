"""Declared page loads and transfers: what is refused, and what a report comes to. The loading is in tests/netns."""

from __future__ import annotations

import copy
import hashlib
import json
from itertools import pairwise
from typing import Any

import pytest

from traffic.bulk import client_command, parse_report, parse_tcp, server_command, summarise_tcp
from traffic.declared import busy_percent, cpu_ticks, limited_by
from traffic.errors import FlowError, ServiceError
from traffic.web import MAIN_BYTES, OBJECT_BYTES, OBJECTS, PageLoad, Site, WebFlow, parse_web, summarise_web

S = 1_000_000_000
WEB: dict[str, Any] = {
    "name": "page", "kind": "web", "src": "rome", "dst": "dc", "dscp": 0, "objects": 71, "main_bytes": 18_432,
    "object_bytes": 38_531, "connections": 6, "repeat_s": 5, "start_ns": 0, "stop_ns": 10 * S,
}  # fmt: skip
TCP: dict[str, Any] = {
    "name": "upload", "kind": "tcp", "src": "rome", "dst": "dc", "dscp": 0, "algorithm": "cubic", "protect": "none",
    "seconds": 8, "start_ns": S, "stop_ns": 10 * S,
}  # fmt: skip
HOSTS = ("rome", "dc")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objects": 0}, "flow 'page': objects 0 is refused: use 1 to 1000"),
        ({"objects": True}, "flow 'page': objects True is not of type int"),
        ({"main_bytes": 0}, "main_bytes 0 is refused"),
        ({"object_bytes": 10_000_000}, "bytes of the page 7.00018e"),
        ({"connections": 0}, "connections 0 is refused"),
        ({"repeat_s": 0}, "repeat_s 0 is refused"),
        ({"repeat_s": "5"}, "repeat_s '5' is not of type int"),
        ({"name": "a/../b"}, "the name is refused: use letters, digits"),
        ({"name": ""}, "the name is refused"),
        ({"dst": "rome"}, "source and destination are both 'rome'"),
        ({"dst": "paris"}, "host 'paris' is unknown: use one of dc, rome"),
        ({"dscp": 64}, "dscp 64 is not in 0..63"),
        ({"stop_ns": 0}, "it runs from 0 to 0 ns, which is no time"),
        ({"size": 1}, "flow 'page': does not know size"),
    ],
)
def test_page_loads_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FlowError, match="flow '") as caught:
        parse_web([WEB | changes], HOSTS)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": "reno"}, "flow 'upload': algorithm 'reno' is unknown: use cubic or bbr"),
        ({"protect": "tls"}, "protect 'tls' is unknown: use none or xfrm"),
        ({"seconds": 0}, "seconds 0 is refused"),
        ({"seconds": 10}, "10 s do not fit into the 9 s from start_ns to stop_ns"),
        ({"seconds": 1.5}, "seconds 1.5 is not of type int"),  # iperf3 takes whole seconds
        ({"start_ns": -1}, "which is no time"),
    ],
)
def test_transfers_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FlowError, match="flow '") as caught:
        parse_tcp([TCP | changes], HOSTS)
    assert message in str(caught.value)


def test_a_missing_field_and_a_name_used_twice_are_refused() -> None:
    with pytest.raises(FlowError, match="flow 'page': lacks objects"):
        parse_web([{name: value for name, value in WEB.items() if name != "objects"}])
    with pytest.raises(FlowError, match="flow 'upload': the name is used twice"):
        parse_tcp([TCP, TCP])


def test_the_default_page_weighs_what_the_median_page_does() -> None:
    """HTTP Archive, Web Almanac 2024, desktop: 71 requests, 2,652 KB, of which 18 KB are HTML."""
    flow = parse_web([WEB | {"objects": OBJECTS, "main_bytes": MAIN_BYTES, "object_bytes": OBJECT_BYTES}])[0]
    assert flow.page_bytes == pytest.approx(2_652 * 1024, abs=70)


def test_a_site_is_its_seeds_alone() -> None:
    site = Site.of(parse_web([WEB | {"objects": 3}])[0], b"seed")
    assert [len(body) for body in site.bodies] == [18_432, 38_531, 38_531]
    assert len(set(site.bodies)) == 3
    assert site.bodies[2] == hashlib.shake_256(b"seed" + bytes([0, 0, 0, 2])).digest(38_531)
    assert site.digests[0] == hashlib.sha256(site.bodies[0]).digest()
    assert Site(b"other", site.sizes).digests[0] != site.digests[0]


def page(load_ms: float | None, *, error: str | None = None, busy: float | None = 40.0) -> PageLoad:
    return PageLoad(0, (30.0,), (40.0, 60.0), 31.0, load_ms, 10, "X25519MLKEM768", busy, error)


def test_page_loads_are_summed_up_and_failures_kept_apart() -> None:
    flow = WebFlow(**WEB)
    told = summarise_web(flow, [page(100), page(200), page(None, error="given up"), page(None, error="given up")])
    assert (told["loads"], told["failed"], told["errors"]) == (4, 2, ["given up"])
    assert told["load_ms"] == {"p50": 150.0, "p95": 195.0, "max": 200.0}
    assert told["handshake_ms"] == {"p50": 50.0, "p95": 60.0, "max": 60.0}
    assert (told["group"], told["limited_by"]) == ("X25519MLKEM768", "network")
    assert summarise_web(flow, [page(100, busy=99.0)])["limited_by"] == "machine"
    none = summarise_web(flow, [])
    assert (none["loads"], none["load_ms"]["p50"], none["group"], none["limited_by"]) == (0, None, None, None)
    json.dumps(told)


REPORT: dict[str, Any] = {  # of iperf3 3.12, what is read of it
    "start": {"test_start": {"reverse": 0}},
    "end": {
        "streams": [{"sender": {"max_rtt": 118_000, "min_rtt": 33_500, "mean_rtt": 90_250}}],
        "sum_sent": {"bytes": 41_000_000, "retransmits": 17},
        "sum_received": {"bytes": 40_000_000, "bits_per_second": 39.5e6},
        "cpu_utilization_percent": {"host_total": 3.04, "remote_total": 12.5},
        "sender_tcp_congestion": "cubic",
    },
}


def test_iperf3s_report_is_read() -> None:
    transfer = parse_report(json.dumps(REPORT))
    assert (transfer.goodput_bps, transfer.sent_bytes, transfer.received_bytes) == (39.5e6, 41_000_000, 40_000_000)
    assert (transfer.retransmits, transfer.algorithm, transfer.generator_percent) == (17, "cubic", 12.5)
    assert transfer.rtt_ms == {"min": 33.5, "mean": 90.25, "max": 118.0}


def test_the_other_way_round_trips_are_the_servers() -> None:
    report = copy.deepcopy(REPORT)
    report["start"]["test_start"]["reverse"] = 1
    report["end"]["streams"][0]["sender"] = {"max_rtt": 0, "min_rtt": 0, "mean_rtt": 0}
    assert parse_report(json.dumps(report)).rtt_ms == {"min": None, "mean": None, "max": None}
    report["server_output_json"] = REPORT
    assert parse_report(json.dumps(report)).rtt_ms["min"] == 33.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "iperf3: its report is no JSON"),
        ("[]", "iperf3: its report is no JSON object"),
        ('{"error": "unable to connect to server: Connection refused"}', "iperf3: unable to connect to server"),
        ('{"start": {}, "end": {}}', "iperf3: its report lacks what a transfer has: KeyError 'sum_sent'"),
    ],
)
def test_a_report_without_a_transfer_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ServiceError) as caught:
        parse_report(text)
    assert str(caught.value).startswith(message)


def test_a_transfer_limited_by_its_generator_says_so() -> None:
    report = copy.deepcopy(REPORT)
    report["end"]["cpu_utilization_percent"]["remote_total"] = 95.0
    flow = parse_tcp([TCP])[0]
    assert summarise_tcp(flow, parse_report(json.dumps(report)), None, 50.0)["limited_by"] == "generator"
    assert summarise_tcp(flow, parse_report(json.dumps(REPORT)), None, 50.0)["limited_by"] == "network"
    assert summarise_tcp(flow, parse_report(json.dumps(REPORT)), None, 99.0)["limited_by"] == "machine"
    told = summarise_tcp(flow, None, "iperf3: no route to host", None)
    assert (told["failed"], told["errors"], told["limited_by"]) == (1, ["iperf3: no route to host"], None)
    assert told["goodput_bps"] is None


def test_another_congestion_control_than_asked_for_is_a_failure() -> None:
    told = summarise_tcp(parse_tcp([TCP | {"algorithm": "bbr"}])[0], parse_report(json.dumps(REPORT)), None, None)
    assert told["errors"] == ["iperf3: the kernel used cubic where bbr was asked for"]


def test_command_lines() -> None:
    flow = parse_tcp([TCP | {"dscp": 10, "algorithm": "bbr"}])[0]
    command = client_command(flow, "198.51.100.2", 5201, reverse=True)
    pairs = dict(pairwise(command))
    assert (pairs["--client"], pairs["--port"], pairs["--time"]) == ("198.51.100.2", "5201", "8")
    assert (pairs["--congestion"], pairs["--tos"], command[-1]) == ("bbr", "40", "--reverse")
    assert "--reverse" not in client_command(flow, "198.51.100.2", 5201, reverse=False)
    assert server_command("198.51.100.2", 5201)[-4:] == ["--bind", "198.51.100.2", "--port", "5201"]


def test_processor_time() -> None:
    first = cpu_ticks()
    assert 0 < first[0] < first[1]
    assert busy_percent((100, 200), (150, 300)) == 50.0
    assert busy_percent(first, first) is None
    assert limited_by(None, None) == "network"
    assert limited_by(94.9, 94.9) == "network"
