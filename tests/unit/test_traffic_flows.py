"""Flows are understood or refused by name."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic.errors import FlowError
from traffic.esp import OutboundSa
from traffic.flows import LARGEST_PAYLOAD_BYTES, Flow, parse_flows
from traffic.messages import BODY_BYTES
from traffic.packets import InnerFlow, InnerPackets, udp_packet

GOOD: dict[str, Any] = {
    "name": "call",
    "kind": "voice",
    "src": "rome",
    "dst": "milan",
    "dscp": 46,
    "rate_pps": 50,
    "payload_bytes": 172,
    "start_ns": 0,
    "stop_ns": 10**9,
}


def test_a_good_flow_is_understood() -> None:
    (flow,) = parse_flows([GOOD], ["rome", "milan"])
    assert flow == Flow("call", "voice", "rome", "milan", 46, 50, 172, 0, 10**9)
    assert flow.rtp_interval == 160  # 20 ms at 8 kHz
    (bulk,) = parse_flows([GOOD | {"kind": "bulk", "rate_pps": 33.3}])
    assert bulk.rtp_interval is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"kind": "video"},
            "flow 'call': kind 'video' is unknown: use one of voice, bulk, message, stream, track, sms, alert",
        ),
        ({"dst": "rome"}, "source and destination are both 'rome'"),
        ({"dst": "paris"}, "host 'paris' is unknown: use one of milan, rome"),
        ({"dscp": 64}, "dscp 64 is not in 0..63"),
        ({"dscp": -1}, "dscp -1"),
        ({"dscp": True}, r"flow 0 \('call'\): dscp True is not of type int"),
        ({"rate_pps": 0}, "rate_pps 0 is not a positive number"),
        ({"rate_pps": math.nan}, "rate_pps nan"),
        ({"rate_pps": math.inf}, "rate_pps inf"),
        ({"rate_pps": "50"}, "rate_pps '50' is not of type int"),
        ({"payload_bytes": 39}, "payload_bytes 39 is refused: use 40 to 1380"),
        ({"payload_bytes": 1381}, "payload_bytes 1381 is refused"),
        ({"kind": "bulk", "payload_bytes": 27}, "payload_bytes 27 is refused: use 28 to 1380"),
        ({"stop_ns": 0}, "runs from 0 to 0 ns"),
        ({"start_ns": -1}, "runs from -1"),
        ({"colour": "red"}, "does not know colour"),
        ({"codec": "G.711"}, "codec 'G.711' is unknown: use one of g711, g711-plc, g729a, amr-12.2, opus-24"),
        ({"deadline_ms": 100}, "a voice flow has no deadline_ms: alert, message, sms, track have"),
        ({"kind": "message", "deadline_ms": -1}, "deadline_ms -1 is not a number from 0"),
        ({"kind": "message", "deadline_ms": math.inf}, "deadline_ms inf"),
        ({"kind": "message", "payload_bytes": 47}, "payload_bytes 47 is refused: use 48 to 1380"),
        ({"kind": "track", "content": "north"}, "track 'north' is not 'latitude longitude course speed'"),
        ({"kind": "track", "content": "91 0"}, "track: latitude_deg 91.0 is not within 85"),
        ({"kind": "sms"}, "content is for sms and alert, which need it, and for track"),
        ({"content": "hello"}, "content is for sms and alert"),
        ({"kind": "sms", "content": "雨"}, "character '雨' is not in the GSM 7-bit alphabet"),
        ({"kind": "alert", "content": "x" * 1396}, "a cell broadcast of 16 pages is refused: at most 15"),
        ({"kind": "bulk", "srtp": True}, "a bulk flow has no RTP that srtp could protect"),
        ({"srtp": True, "payload_bytes": 1365}, "payload_bytes 1365 is refused: use 40 to 1364"),
        ({"srtp": 1}, "srtp 1 is not of type bool"),
        ({"acceptance": {"loss": 0.1}}, "acceptance 'loss' is unknown: use one of loss_max, delay_p95_ms"),
        ({"acceptance": {"loss_max": 1.5}}, "acceptance loss_max 1.5 is not a number from 0 to 1"),
        ({"acceptance": {"loss_max": math.nan}}, "acceptance loss_max nan is not a number"),
        ({"acceptance": {"mos_min": True}}, "acceptance mos_min True is not a number from 0 to 4.5"),
        ({"kind": "bulk", "acceptance": {"mos_min": 3}}, "acceptance mos_min is nothing that a bulk flow has"),
        ({"kind": "track", "acceptance": {"gaps_max": 0}}, "acceptance gaps_max is nothing that a track flow has"),
        ({"kind": "stream", "rate_pps": 5, "acceptance": {"gaps_max": 0}}, "gaps_max needs more than 5 packets/s"),
        (
            {"kind": "message", "acceptance": {"delivered_within_deadline_min": 0.9}},
            "acceptance delivered_within_deadline_min needs a deadline_ms",
        ),
    ],
)
def test_a_bad_flow_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FlowError, match=message):
        parse_flows([GOOD | change], ["rome", "milan"])


@pytest.mark.parametrize("field", GOOD)
def test_no_field_may_be_missing(field: str) -> None:
    with pytest.raises(FlowError, match=f"lacks {field}"):
        parse_flows([{name: value for name, value in GOOD.items() if name != field}])


def test_names_are_unique() -> None:
    with pytest.raises(FlowError, match="flow 'call': the name is used twice"):
        parse_flows([GOOD, GOOD])


def test_each_kind_of_service_is_understood() -> None:
    declared = [
        GOOD | {"codec": "opus-24", "srtp": True, "acceptance": {"mos_min": 3.6, "gaps_max": 0, "loss_max": 0.01}},
        GOOD
        | {"name": "order", "kind": "message", "deadline_ms": 500, "acceptance": {"delivered_within_deadline_min": 1}},
        GOOD | {"name": "camera", "kind": "stream", "payload_bytes": 1200, "acceptance": {"delay_p99_ms": 400.0}},
        GOOD | {"name": "ship", "kind": "track", "content": "36.5 12.5 90 15"},
        GOOD | {"name": "text", "kind": "sms", "content": "x" * 200},
        GOOD | {"name": "warning", "kind": "alert", "content": "y" * 200},
    ]
    flows = parse_flows(declared)
    assert [flow.parts for flow in flows] == [1, 1, 1, 1, 2, 3]
    assert [flow.body is None for flow in flows] == [True, False, True, False, False, False]
    for flow in flows:
        if flow.body is not None:
            assert {len(flow.body(number)) for number in range(5)} == {BODY_BYTES[flow.kind]}
            assert flow.body(0) == flow.body(0)
            assert flow.body(0) != flow.body(61)
            assert BODY_BYTES[flow.kind] % 2 == 0  # so that its sum is a sum of 16-bit words


@given(rate_pps=st.floats(0.01, 10_000), number=st.integers(0, 10**6))
def test_packets_are_due_at_the_rate_without_drift(rate_pps: float, number: int) -> None:
    flow = Flow("x", "bulk", "a", "b", 0, rate_pps, 100, 5, 10**18)
    assert flow.due_ns(0) == 5
    assert abs(flow.due_ns(number) - 5 - number / rate_pps * 1e9) <= 1 + number / rate_pps * 1e9 * 1e-15


@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1"])
@pytest.mark.parametrize("payload_bytes", range(LARGEST_PAYLOAD_BYTES - 4, LARGEST_PAYLOAD_BYTES + 1))
def test_the_largest_payload_is_not_fragmented(address: str, payload_bytes: int) -> None:
    inner = InnerFlow(address, address, 0, 0, bytes(16), payload_bytes)
    esp = OutboundSa(300, bytes(32), bytes(4)).encrypt(InnerPackets(inner).build(0), inner.next_header)
    assert len(udp_packet("10.0.0.1", "10.0.0.2", 4500, 4500, esp)) <= 1500
