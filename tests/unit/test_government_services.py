"""What governments, forces and the civil protection declare: understood, of the right class, few enough to send."""

from __future__ import annotations

from pathlib import Path

import pytest
from orbit_data import START_NS
from plan_data import dense

from testbed.plan.build import build_plan
from testbed.plan.model import load, save
from topologies import direct_to_cell
from topologies.services import SERVICES, emergency, government, military, services
from topologies.starlink_italy import scenario
from traffic.flows import ACCEPTANCE, parse_flows

S = 1_000_000_000
BANDS = {51: 1, 46: 2, 44: 2, 26: 3, 18: 3, 0: 4}
"""As testbed.kernel.filters has them: from 48 on 1, EF and VOICE-ADMIT 2, 8 to 39 3, others 4."""


def all_of(word: str, *, light: bool = False) -> dict:
    return {flow.name: flow for flow in parse_flows(services(word, 60 * S, "rome", "taranto", "dc", light=light))}


@pytest.mark.parametrize("word", SERVICES.choices)
@pytest.mark.parametrize("light", [False, True])
@pytest.mark.parametrize("duration_ns", [S, 60 * S])
def test_all_services_are_understood(word: str, light: bool, duration_ns: int) -> None:
    declared = services(word, duration_ns, "rome", "taranto", "dc", light=light)
    flows = parse_flows(declared, ["rome", "taranto", "dc"])
    assert sum(flow.rate_pps for flow in flows) <= (75 if light else 400)
    assert all(flow.stop_ns <= duration_ns for flow in flows)


def test_basic_is_what_it_always_was() -> None:
    assert services("basic", 60 * S, "a", "b", "c") == government(60 * S, "a", "b", "c")
    assert scenario().flows(60 * S) == government(60 * S, "rome", "taranto", "dc-rome")


def test_more_services_keep_the_basic_ones_and_say_what_they_must_get() -> None:
    basic, more = all_of("basic"), all_of("government")
    assert basic.keys() < more.keys()
    assert {flow.kind for flow in more.values()} == {"voice", "bulk", "message", "track", "stream", "sms", "alert"}
    assert all(flow.srtp and flow.acceptance["mos_min"] == 3.6 for flow in more.values() if flow.kind == "voice")
    assert all(flow.acceptance for flow in more.values() if flow.kind != "bulk")
    assert {name for flow in more.values() for name in flow.acceptance} < ACCEPTANCE.keys()
    assert scenario(services="government").flows(60 * S) == services("government", 60 * S, "rome", "taranto", "dc-rome")


def test_alerts_come_before_calls_and_calls_before_commands_and_all_before_documents() -> None:
    more = all_of("government")
    calls = {flow.name: flow for flow in parse_flows(emergency(60 * S, ("phone",), "dc", callers=("phone",)))}
    band = {flow.kind: BANDS[flow.dscp] for flow in more.values()}
    assert band == {"alert": 1, "voice": 2, "sms": 2, "message": 3, "track": 3, "stream": 3, "bulk": 4}
    assert BANDS[calls["call-phone-up"].dscp] == 2
    assert calls["call-phone-up"].codec == "opus-24"


def test_the_forces_have_tracks_a_sensor_and_commands_with_a_deadline() -> None:
    flows = {flow.kind: flow for flow in parse_flows(military(60 * S, "fremm", "hq"))}
    assert (flows["message"].src, flows["message"].dst, flows["message"].deadline_ms) == ("hq", "fremm", 500)
    assert flows["track"].body is not None
    assert flows["stream"].rate_pps * flows["stream"].payload_bytes * 8 == 240_000


def test_an_alert_reaches_every_phone_within_its_deadline_if_nothing_is_lost() -> None:
    for flow in parse_flows(emergency(60 * S, ("a", "b"), "dc")):
        if flow.kind == "alert":
            assert flow.parts / flow.rate_pps * 1e3 < flow.deadline_ms / 2
            assert flow.parts > 1


def test_a_plan_keeps_what_services_declare(tmp_path: Path) -> None:
    plan = build_plan(scenario(services="government"), dense(), START_NS, 2 * S)
    save(plan, tmp_path)
    assert parse_flows(load(tmp_path).flows) == parse_flows(services("government", 2 * S, "rome", "taranto", "dc-rome"))


@pytest.mark.parametrize("judged", [False, True])
def test_phones_on_satellites_have_what_emergencies_need(judged: bool) -> None:
    flows = parse_flows(direct_to_cell.scenario(judged="on" if judged else "off").flows(60 * S))
    assert {flow.kind for flow in flows} == {"voice", "sms", "alert"}
    assert {flow.dst for flow in flows if flow.kind == "alert"} == {"amatrice", "rome", "ionian"}
    assert all("Amatrice" in flow.content for flow in flows if flow.kind == "alert")
    assert {bool(flow.acceptance) for flow in flows} == {judged}
    assert all(flow.deadline_ms for flow in flows if flow.kind != "voice")
