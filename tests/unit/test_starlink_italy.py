"""The Italian government on Starlink, as declared."""

from __future__ import annotations

import pytest
from orbit_data import START_NS, starlink
from plan_data import MS, S, dense, italy

from testbed.ground.errors import ScenarioError
from testbed.orbits.presets import STARLINK_2026
from testbed.orbits.walker import walker_catalogue
from testbed.plan.build import build_plan
from testbed.plan.model import load, save
from topologies.services import government
from topologies.starlink_italy import PARAMETERS, scenario
from traffic.bulk import parse_tcp
from traffic.web import parse_web

KEYS = {"name", "kind", "src", "dst", "dscp", "rate_pps", "payload_bytes", "start_ns", "stop_ns"}


def test_the_declared_defaults():
    found = scenario()
    assert found.parameters == {
        "sites": "two",
        "order": "hold",
        "outage_ms": 20,
        "policy": "measured",
        "variation": "off",
        "landing": "italy",
        "landing_by": "delay",
        "antennas": 52,
        "lost": "none",
        "denied": "none",
        "fallback": "none",
        "gso_deg": 0,
        "beams": 0,
        "capacity": "median",
        "load": 0,
        "rain": "off",
        "lasers": False,
        "routing": "plan",
        "domains": "one",
        "encryption": "overlay",
        "access": "cgnat",
        "meet": False,
        "services": "basic",
        "esn": True,
        "window": 1024,
        "ledger": "auto",
        "profile": "manual",
        "rekey_s": 3600,
        "generator": "struct",
        "adversary": "none",
        "adversary_every": "64",
        "adversary_percent": 0,
        "adversary_seed": 1,
        "adversary_position": "satellite",
        "adversary_direction": "up",
        "adversary_from_s": 0,
        "adversary_to_s": 0,
        "adversary_hold_ms": 200,
        "adversary_followers": 32,
        "adversary_late_s": 10,
        "internet": "off",
    }
    assert (found.access.order, found.access.outage_ns) == ("hold", 20 * MS)
    assert found.traffic == {
        "encryption": "overlay",
        "access": "cgnat",
        "esn": True,
        "window": 1024,
        "ledger": "auto",
        "profile": "manual",
        "rekey_s": 3600,
        "generator": "struct",
        "adversary": "none",
    }
    assert {terminal.mask_deg for terminal in found.terminals} == {25.0}
    assert {gateway.mask_deg for gateway in found.gateways} == {25.0}
    allowed = [found.gateways[number].name for number in found.open_gateways]
    assert allowed == ["gw-milano", "gw-foggia", "gw-marsala"]
    assert (len(scenario(landing="europe").open_gateways), len(scenario(landing="any").open_gateways)) == (10, 11)


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.name)
def test_every_parameter_reads_its_own_default_and_refuses_nonsense(parameter):
    assert scenario(**{parameter.name: parameter.default}).parameters == scenario().parameters
    assert parameter.meaning
    with pytest.raises(ScenarioError, match=f"starlink-italy: parameter {parameter.name}='nonsense'"):
        scenario(**{parameter.name: "nonsense"})


def test_parameters_reach_the_scenario():
    found = scenario(order="drop", outage_ms="35", esn="off", window="64", adversary="replay")
    assert (found.access.order, found.access.outage_ns) == ("drop", 35 * MS)
    assert scenario(outage_ms="isl").access.outage_ns == 490 * MS
    assert scenario(outage_ms="bent-pipe").access.outage_ns == 25 * MS
    asked = scenario(policy="sticky", landing_by="highest", gso_deg="18", beams="2", lost="gw-foggia@3").access
    assert (asked.policy, asked.landing_by, asked.gso_deg, asked.beams) == ("sticky", "highest", 18, 2)
    assert (found.traffic["esn"], found.traffic["window"], found.traffic["adversary"]) == (False, 64, "replay")


@pytest.mark.parametrize(
    ("policy", "word", "slots", "jitter", "says"),
    [
        ("highest", "off", 0.0, 0.0, "do not vary"),
        ("highest", "slots", 1.0, 0.0, "each slot has an access delay of its own"),
        ("highest", "measured", 1.0, 1.0, "packets scatter within a slot"),
        ("measured", "slots", 0.0, 0.0, "come from the satellites alone (policy=measured)"),
        ("random", "measured", 0.0, 1.0, "packets scatter within a slot"),
    ],
)
def test_what_varies_is_not_counted_twice(policy, word, slots, jitter, says):
    found = scenario(policy=policy, variation=word)
    assert (found.variation.slots, found.variation.jitter) == (slots, jitter)
    assert sum(says in line for line in found.assumptions) == 1


def test_an_unknown_parameter_names_the_nearest():
    with pytest.raises(ScenarioError, match="unknown parameter 'adversery' \\(did you mean 'adversary'\\?\\)"):
        scenario(adversery="replay")


def test_the_report_is_told_every_assumption():
    texts = {order: scenario(order=order).assumptions for order in ("hold", "drop", "reorder")}
    assert all(f"handovers {order}" in texts[order][-2] for order in texts)
    assert "OSPF" in scenario(routing="frr").assumptions[-1]
    for topic in ("1.5 times the great circle", "13.4 ms", "41 Mbit/s", "one gateway at a time", "440 km", "80 ms"):
        assert any(topic in line for line in texts["hold"])


@pytest.mark.parametrize("duration_ns", [1 * S, 1_500 * MS, 2 * S, 60 * S, 3_600 * S])
def test_flows_lie_within_the_plan(duration_ns):
    flows = scenario().flows(duration_ns)
    assert len({flow["name"] for flow in flows}) == len(flows)
    assert sum(flow["rate_pps"] for flow in flows) == 350
    for flow in flows:
        assert set(flow) == KEYS
        assert 0 <= flow["start_ns"] < flow["stop_ns"] <= duration_ns
        if duration_ns >= 2 * S:
            assert (flow["start_ns"], flow["stop_ns"]) == (500 * MS, duration_ns - 500 * MS)


def test_flows_run_between_hosts_of_the_scenario():
    found = scenario()
    hosts = {terminal.host for terminal in found.terminals} | {centre.host for centre in found.centres}
    flows = found.flows(60 * S)
    assert all({flow["src"], flow["dst"]} <= hosts for flow in flows)
    voice = [flow for flow in flows if flow["kind"] == "voice"]
    assert {(flow["src"], flow["dst"]) for flow in voice} == {
        ("rome", "dc-rome"),
        ("dc-rome", "rome"),
        ("taranto", "dc-rome"),
        ("dc-rome", "taranto"),
    }
    assert all((f["rate_pps"], f["payload_bytes"], f["dscp"]) == (50, 172, 46) for f in voice)
    bulk = {f["name"]: (f["src"], f["dst"], f["rate_pps"], f["payload_bytes"]) for f in flows if f["kind"] == "bulk"}
    assert bulk == {
        "bulk-rome-down": ("dc-rome", "rome", 100, 1_200),
        "bulk-taranto-up": ("taranto", "dc-rome", 50, 1_200),
    }


def test_flows_are_data_of_their_own():
    assert government(S, "a", "b", "c") == government(S, "a", "b", "c")
    assert government(S, "a", "b", "c")[0] is not government(S, "a", "b", "c")[0]


def test_over_the_real_constellation_both_sites_are_always_served():
    plan = build_plan(italy(), starlink(), START_NS, 120 * S)
    assert not [event for event in plan.events if event.kind == "outage"]
    assert plan.satellites == 10_544
    assert plan.topology == "starlink-italy"
    low = starlink().mean_altitude_m < 440e3
    assert low.sum() == 10_544 - 9_275
    names = {name for name, is_low in zip(starlink().node_names, low, strict=True) if is_low}
    assert not names & {node.name for node in plan.nodes}


def test_over_the_built_in_shells_too(tmp_path):
    catalogue = walker_catalogue(STARLINK_2026, START_NS, "built-in: starlink-2026")
    plan = build_plan(italy(), catalogue, START_NS, 30 * S)
    assert not [event for event in plan.events if event.kind == "outage"]
    assert max(len(node.name) for node in plan.nodes) <= 10
    save(plan, tmp_path)
    assert load(tmp_path).flows == plan.flows


def test_a_short_plan_is_a_plan():
    plan = build_plan(italy(), dense(), START_NS, S)
    assert len(plan.flows) == 6


def test_sites_that_meet_call_each_other_over_the_hub():
    found = scenario(meet="on")
    assert found.traffic["hub"] == "dc-rome"
    assert [flow["name"] for flow in found.flows(10 * 10**9)][-2:] == ["call-rome-taranto", "call-taranto-rome"]
    assert "hub" not in scenario().traffic
    assert scenario().translated
    assert not scenario(access="public").translated


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        (
            {"encryption": "operator", "routing": "frr"},
            "encryption=operator with routing=frr is refused: use routing=plan",
        ),
        ({"encryption": "both", "adversary": "replay"}, "encryption=both with adversary=replay is refused"),
        ({"access": "public", "routing": "frr"}, "access=public with routing=frr is refused: use routing=plan"),
        ({"meet": "on", "generator": "scapy"}, "meet=on with generator=scapy is refused: use generator=struct"),
        ({"access": "ipv6", "profile": "cnsa2"}, "access=ipv6 with profile=cnsa2 is refused: use profile=manual"),
        (
            {"encryption": "operator", "profile": "cnsa2"},
            "encryption=operator with profile=cnsa2 is refused: use profile=manual",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(given, wrong):
    with pytest.raises(ScenarioError, match=wrong):
        scenario(**given)


@pytest.mark.parametrize("word", ["web", "cubic", "bbr"])
def test_the_internet_beside_the_encrypted_flows_is_declared_as_the_traffic_wants_it(word: str) -> None:
    declared = scenario(internet=word).flows(20 * 10**9)
    (ours,) = [flow for flow in declared if flow["kind"] in ("web", "tcp")]
    assert len(declared) == len(scenario().flows(20 * 10**9)) + 1
    assert (ours["src"], ours["dst"], ours["dscp"]) == ("rome", "dc-rome", 0)
    if word == "web":
        (page,) = parse_web([ours], ("rome", "dc-rome"))
        assert page.page_bytes == pytest.approx(2_652 * 1024, abs=70)  # HTTP Archive's median
    else:
        (transfer,) = parse_tcp([ours], ("rome", "dc-rome"))
        assert (transfer.algorithm, transfer.seconds) == (word, 18)


def test_a_plan_too_short_for_the_internet_says_so() -> None:
    with pytest.raises(ScenarioError, match="internet=cubic needs 4 s at least, this plan has 3 s"):
        scenario(internet="cubic").flows(3 * 10**9)
