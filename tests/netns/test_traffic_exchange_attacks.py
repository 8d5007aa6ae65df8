"""A key exchange under attack: it fails loudly, the old keys carry on, and nothing goes in the clear."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from traffic_diverter import diverter, working
from traffic_hosts import S, flow, hosts, play, routed
from traffic_lab import Lab

from traffic.adversary import Crossing, open_router, run_adversary
from traffic.session import SessionOptions
from traffic.threat import Threat
from traffic.timestamps import open_tap

pytestmark = pytest.mark.netns

FLOWS = [flow("upload", "rome", "milan", 50, 400, 0), flow("download", "milan", "rome", 50, 400, 0)]
REKEYED = SessionOptions(profile="classic", rekey_s=1.0, expire_s=6.0)  # one exchange may take 2.3 s


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        routed(lab)
        yield lab


@pytest.mark.parametrize(
    ("action", "name"), [("kex-tamper", "KEX_FAIL"), ("kex-block", "KEX_FAIL"), ("kex-downgrade", "DOWNGRADE")]
)
def test_an_attacked_rekey_is_reported_and_the_old_keys_carry_on(
    lab: Lab, tmp_path: Path, action: str, name: str
) -> None:
    threat = Threat(action, from_s=1.5)  # the first exchange is over by then, on a busy machine too
    filters = [diverter(lab, threat, interface=interface) for interface in ("r-eth0", "r-eth1")]
    ways = [
        Crossing(interface, lab.within("router", open_tap, interface), lab.within("router", open_router))
        for interface in ("r-eth0", "r-eth1")
    ]
    ledger, start_ns = tmp_path / "adversary.jsonl", time.time_ns() + S // 2

    def divert(on: bool) -> None:
        for one in filters:
            one(on)

    with working(lambda stop: run_adversary(threat, ways, stop, ledger, divert=divert, start_realtime_ns=start_ns)):
        document, _ = play(FLOWS, hosts(lab), tmp_path, 5.0, REKEYED)
    acts = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert {act["action"] for act in acts} == {action}
    assert {alarm["verdict"] for alarm in document["alarms"]} - {"KEX_FAIL"} == {name} - {"KEX_FAIL"}
    assert name in {alarm["verdict"] for alarm in document["alarms"]}
    for result in document["flows"]:
        assert result["integrity"]["counts"] == {"GENUINE": result["received"]}
        assert result["received"] == result["sent"] > 200


def test_without_an_attacker_the_same_rekey_succeeds(lab: Lab, tmp_path: Path) -> None:
    document, _ = play(FLOWS, hosts(lab), tmp_path, 2.5, REKEYED)
    assert document["alarms"] == []
