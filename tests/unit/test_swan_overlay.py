"""`profile=strongswan`: what a plan asks for, and which tunnels its flows need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from emulated import wire
from orbit_data import START_NS
from plan_data import S, dense, italy

from testbed.emulation.swan.config import End, Options
from testbed.emulation.swan.overlay import take, tunnels
from testbed.emulation.wiring import Wiring
from testbed.ground.errors import PlanError
from testbed.plan.build import build_plan
from traffic.flows import Flow, parse_flows
from traffic.session import SessionOptions


@pytest.fixture(scope="module")
def wiring() -> Wiring:
    return wire(build_plan(italy(profile="strongswan", rekey_s="7", esn="off"), dense(), START_NS, S))


def flows(wiring: Wiring, **changes: str) -> tuple[Flow, ...]:
    declared: list[dict[str, Any]] = [flow | changes for flow in wiring.plan.flows if "rate_pps" in flow]
    return parse_flows(declared, wiring.lans)


def test_its_options_are_taken_and_the_session_is_left_to_send_in_the_clear(wiring: Wiring) -> None:
    traffic = dict(wiring.plan.traffic)
    assert take(traffic) == Options(rekey_s=7.0, window=1024, esn=False)
    assert (traffic["profile"], traffic["encryption"]) == ("manual", "operator")
    assert SessionOptions(profile="manual", encryption="operator").clear
    assert wiring.plan.traffic["profile"] == "strongswan"  # the plan itself says what was asked for


def test_other_profiles_are_left_alone() -> None:
    traffic = {"profile": "cnsa2", "rekey_s": 15, "window": 1024, "esn": True}
    assert take(traffic) is None
    assert traffic["profile"] == "cnsa2"


@pytest.mark.parametrize(
    ("name", "value"), [("encryption", "both"), ("generator", "scapy"), ("adversary", "replay"), ("access", "ipv6")]
)
def test_what_does_not_go_with_it_is_refused(wiring: Wiring, name: str, value: str) -> None:
    with pytest.raises(PlanError, match=rf"^profile=strongswan with {name}={value} is refused: use {name}=\w+$"):
        take(wiring.plan.traffic | {name: value})


def test_one_tunnel_for_each_pair_begun_behind_the_nat(wiring: Wiring) -> None:
    found = tunnels(wiring, flows(wiring))
    assert [(tunnel.initiator.host, tunnel.responder.host) for tunnel in found] == [
        ("rome", "dc-rome"),
        ("taranto", "dc-rome"),
    ]
    assert found[0].initiator == End("rome", "100.64.0.2", "10.64.0.1")
    assert found[0].responder.address.startswith("198.51.100.")
    assert {tunnel.key for tunnel in found} | {tunnel.ppk for tunnel in found} != {found[0].key}


def test_two_hosts_behind_the_nat_have_none(wiring: Wiring) -> None:
    between = tuple(replace(flow, src="rome", dst="taranto") for flow in flows(wiring)[:1])
    with pytest.raises(PlanError, match=r"rome and taranto are both behind a NAT: profile=strongswan has no tunnel"):
        tunnels(wiring, between)
