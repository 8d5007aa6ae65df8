"""The attacker's catalogue, what it selects, and attacks of a user's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.emulation.attack import threat_of, ways
from testbed.ground.errors import PlanError, ScenarioError
from testbed.ground.units import parse_utc_ns
from testbed.plan.build import build_plan
from testbed.plan.inputs import Request, elements
from testbed.plan.model import Plan
from testbed.plan.plans import make
from testbed.report.words import CAUGHT_AS, HARMLESS
from topologies import terrestrial
from topologies.starlink_italy import scenario
from traffic.attacks import ACTIONS, find_actions
from traffic.caught import Caught, caught
from traffic.errors import AdversaryError
from traffic.esp import OutboundSa
from traffic.insider import INSIDERS
from traffic.memory import Memory
from traffic.own_attack import load_action, wrap_scapy
from traffic.packets import checksum, udp_packet
from traffic.selection import mix, one_in, percent
from traffic.threat import Threat, take_threat
from traffic.verdicts import Verdict


def packet(sequence: int = 7, payload: bytes = b"order" * 20) -> bytes:
    sa = OutboundSa(0x0A0B0C0D, bytes(32), bytes(4), sequence=sequence - 1)
    return udp_packet("10.0.0.1", "10.0.0.2", 4500, 4500, sa.encrypt(payload))


def frame(ip: bytes, padding: int = 0) -> bytes:
    return bytes(12) + b"\x08\x00" + ip + bytes(padding)


def test_the_report_knows_every_action_by_the_names_of_the_catalogue() -> None:
    catalogue = {name: action.verdicts for name, action in ACTIONS.items()}
    catalogue |= {name: insider.verdicts for name, insider in INSIDERS.items()}
    assert catalogue == CAUGHT_AS
    for verdicts in CAUGHT_AS.values():
        assert all(name in Verdict.__members__ and name not in HARMLESS for name in verdicts)


def test_the_catalogue_covers_the_verdict_table() -> None:
    """Of the 22 rows all but 4 and 22, which are no attack and no alarm."""
    named = {name for verdicts in CAUGHT_AS.values() for name in verdicts}
    assert {verdict.name for verdict in Verdict if verdict.is_alarm} == named


def test_what_is_caught_is_what_a_router_would_send_on() -> None:
    ip = packet()
    found = caught(frame(ip, padding=9))
    assert found is not None
    assert found.packet[8] == ip[8] - 1
    assert checksum(found.packet[:20]) == 0
    assert found.packet[20:] == ip[20:]
    assert (found.source, found.destination, found.spi, found.sequence) == ("10.0.0.1", "10.0.0.2", 0x0A0B0C0D, 7)
    assert found.payload == found.payload[:8] + found.iv + found.ciphertext + found.icv


@pytest.mark.parametrize(
    "spoil",
    [
        lambda ip: ip[:30],  # shorter than it says
        lambda ip: b"\x46" + ip[1:],  # options
        lambda ip: ip[:6] + b"\x20\x00" + ip[8:],  # a fragment
        lambda ip: ip[:8] + b"\x01" + ip[9:],  # its last hop
        lambda ip: ip[:9] + b"\x06" + ip[10:],  # TCP
        lambda ip: ip[:20] + bytes(4) + ip[24:],  # other ports
    ],
)
def test_what_is_no_whole_datagram_of_port_4500_is_left_alone(spoil: Callable[[bytes], bytes]) -> None:
    assert caught(frame(packet())) is not None
    assert caught(frame(spoil(packet()))) is None


@pytest.mark.parametrize("action", [action for action in ACTIONS.values() if not action.exchange])
def test_every_action_makes_packets_whose_headers_fit(action: object) -> None:
    memory, found = Memory(record=True, chance=Threat("replay").memory().chance), Caught(packet())
    memory.notice(Caught(packet(6)))
    memory.notice(found)
    for memory.acts in range(1, 300):
        for sending in action.function(found, memory) or ():  # type: ignore[attr-defined]
            ip = sending[1]
            assert int.from_bytes(ip[2:4], "big") == len(ip)
            assert checksum(ip[:20]) == 0
            if not int.from_bytes(ip[6:8], "big") & 0x3FFF:
                assert int.from_bytes(ip[24:26], "big") == len(ip) - 20


def test_the_hash_is_that_of_xxh32() -> None:
    """XXH32 of nothing with seed 0 is 0x02CC5D05 (xxHash's own test vector): the last mixing of its fifth prime."""
    assert mix(0x165667B1) == 0x02CC5D05


def test_a_share_is_drawn_by_its_seed_alone() -> None:
    def drawn(seed: int) -> list[int]:
        return [number for number in range(1, 2_000) if percent(25, seed).matches(packet(number, b""))]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 400 < len(drawn(1)) < 600
    assert all(percent(100, 1).matches(packet(number)) for number in range(1, 50))
    assert [number for number in range(1, 40) if one_in(8).matches(packet(number))] == [7, 15, 23, 31, 39]


def test_settings_of_a_plan_make_a_threat_and_are_taken_out() -> None:
    options = {"window": 64, "adversary": "drop+hold", "adversary_every": "8", "adversary_hold_ms": 5}
    threat = take_threat(options)
    assert threat == Threat("drop+hold", every=8, hold_ms=5)
    assert [action.name for action in find_actions("drop+hold+drop")] == ["drop", "hold"]
    assert options == {"window": 64}
    assert take_threat({"adversary": "none", "adversary_every": "8"}) is None
    with pytest.raises(AdversaryError, match="no setting 'adversary_speed'"):
        take_threat({"adversary": "drop", "adversary_speed": 3})


OWN = """
def twice(packet):
    later = packet.copy()
    later.ttl = 9
    return [packet, (0.5, later)]

def fails(packet, memory):
    return [memory.acts / 0]

def nonsense(packet):
    return [b"no packet"]
"""


def test_an_attack_of_scapy_packets(tmp_path: Path) -> None:
    pytest.importorskip("scapy")
    file = tmp_path / "own.py"
    file.write_text(OWN)
    action = load_action(file, "somewhere/own.py:twice")
    now, later = action.function(Caught(packet()), Memory())
    assert (action.name, action.takes) == ("twice", True)
    assert (now[0], later[0]) == (0, 0.5)
    assert now[1] == packet()
    assert (later[1][8], later[1][20:]) == (9, packet()[20:])
    with pytest.raises(AdversaryError, match="attack fails: ZeroDivisionError"):
        load_action(file, "own.py:fails").function(Caught(packet()), Memory())
    with pytest.raises(AdversaryError, match="attack nonsense: ValueError: 9 bytes that are no IPv4 packet"):
        load_action(file, "own.py:nonsense").function(Caught(packet()), Memory())
    with pytest.raises(AdversaryError, match="there is no function 'thrice'"):
        load_action(file, "own.py:thrice")
    assert wrap_scapy(lambda packet: None)(Caught(packet()), Memory()) is None


def test_a_users_attack_travels_in_the_plan(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    with pytest.raises(ScenarioError, match=r"own\.py: No such file"):
        scenario(adversary=f"{file}:twice")
    file.write_text(OWN)
    traffic = scenario(adversary=f"{file}:twice").traffic
    assert traffic["adversary_code"] == OWN
    file.write_text("def (")
    with pytest.raises(ScenarioError, match="invalid syntax"):
        scenario(adversary=f"{file}:twice")
    with pytest.raises(ScenarioError, match="begin at 9 s and end at 3 s"):
        scenario(adversary="drop", adversary_from_s="9", adversary_to_s="3")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return build_plan(scenario(), *elements((), parse_utc_ns("2026-06-14T06:00:08Z")), 30 * 10**9)


def test_places_of_the_attacker(plan: Plan) -> None:
    def ends(position: str, direction: str) -> set[tuple[str, str]]:
        found = list(ways(plan, Threat("drop", position=position, direction=direction)))  # type: ignore[arg-type]
        assert all(down is (direction == "down") for _, _, down in found)
        return {(plan.node(neighbour).role, plan.node(name).role) for name, neighbour, _ in found}

    assert ends("satellite", "up") == {("terminal", "satellite")}
    assert ends("satellite", "down") == {("gateway", "satellite")}
    assert ends("gateway", "up") == {("satellite", "gateway")}
    assert ends("gateway", "down") == {("pop", "gateway")}
    assert ends("fibre", "up") == {("pop", "router")}
    assert ends("fibre", "down") == {("host", "router")}


def test_without_a_pop_the_attacker_stands_where_the_carriers_fibre_enters_a_data_centre() -> None:
    asked = terrestrial.scenario(sites="twelve", adversary="bitflip")
    plan = make(asked, Request((), (), parse_utc_ns("2026-06-14T06:00:08Z"), 10**9, 10**8, 0))
    options = dict(plan.traffic)
    threat = threat_of(plan, options)
    assert threat is not None
    assert threat.position == "fibre"
    assert set(ways(plan, threat)) == {("ce-dc-rome", "pe-roma", False), ("ce-dc-milan", "pe-milano", False)}
    down = Threat("drop", position="fibre", direction="down")
    assert set(ways(plan, down)) == {("ce-dc-rome", "dc-rome", True), ("ce-dc-milan", "dc-milan", True)}
    for position in ("satellite", "gateway"):
        with pytest.raises(ScenarioError, match=f"adversary_position='{position}' is not one of fibre"):
            terrestrial.scenario(adversary="bitflip", adversary_position=position)


def test_an_insider_becomes_an_option_of_the_session_and_nonsense_one_line(plan: Plan) -> None:
    options = {"esn": True, "adversary": "no-esn", "adversary_every": "32"}
    assert threat_of(plan, options) is None
    assert options == {"esn": True, "insider": "no-esn", "insider_every": 32}
    with pytest.raises(PlanError, match="plan of starlink-italy: attack 'erase' is unknown"):
        threat_of(plan, {"adversary": "erase"})
