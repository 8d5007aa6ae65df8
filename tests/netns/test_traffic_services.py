"""All kinds of services in one session, and what lies in their packets on the wire."""

from __future__ import annotations

import json
import stat
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, UDP
from traffic_hosts import S, hosts, play, reasons_beyond_pacing, routed
from traffic_lab import Lab

from topologies.services import EARTHQUAKE, bulk, emergency, military, secure_voice
from traffic.alerts import alert_text, cap_xml
from traffic.esp import InboundSa, split_trailer
from traffic.gsm import joined_pages
from traffic.messages import COMMAND, read_report
from traffic.packets import CANARY_BYTES, RTP_BYTES, TAG, parse_frame, parse_ip
from traffic.session import SessionOptions
from traffic.templates import declare
from traffic.timestamps import open_tap, receive

pytestmark = pytest.mark.netns

SECONDS = 4
HEAD = CANARY_BYTES + TAG.size


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        routed(lab)
        yield lab


def declared() -> list[dict]:
    duration_ns = SECONDS * S
    return [
        *military(duration_ns, "rome", "milan"),
        *emergency(duration_ns, ("rome",), "milan", callers=("rome",)),
        secure_voice("voice", "rome", "milan", duration_ns),
        bulk("bulk", "milan", "rome", 20, duration_ns),
    ]


def decrypted(frames: list[bytes], folder: Path) -> dict[int, list[bytes]]:
    """UDP payloads inside ESP, by the flow that `flows.json` lists, in the order in which they crossed the router."""
    keys = {
        entry["spi"]: InboundSa(entry["spi"], bytes.fromhex(entry["key"]), bytes.fromhex(entry["salt"]))
        for entry in json.loads((folder / "keys.json").read_text())
    }
    payloads: dict[int, list[bytes]] = defaultdict(list)
    for frame in frames:
        esp = parse_frame(frame).payload
        association = keys.get(int.from_bytes(esp[:4], "big"))
        if association is None:
            continue
        _, plain = association.authenticate(esp)
        assert plain is not None
        inside = split_trailer(plain)
        assert inside is not None
        payload = parse_ip(inside[1], 4).payload
        payloads[association.spi].append(payload)
    return payloads


@pytest.mark.parametrize("generator", ["struct", "scapy"])
def test_scapy_packets_are_flows(lab: Lab, tmp_path: Path, generator: str) -> None:
    common = {"src": "rome", "dst": "milan", "dscp": 0, "start_ns": 0, "stop_ns": 2 * S}
    queries = (IP() / UDP(dport=53) / DNS(qd=DNSQR(qname=f"host{number}.example")) for number in range(5))
    flows = [
        declare(queries, name="dns", rate_pps=10, **common),
        declare(IP() / ICMP(), name="ping", rate_pps=5, **common),
    ]
    document, _ = play(flows, hosts(lab), tmp_path, 2, SessionOptions(generator=generator))
    assert reasons_beyond_pacing(document) == []
    assert (document["alarms"], document["unattributed"]) == ([], {})
    assert [(flow["sent"], flow["received"]) for flow in document["flows"]] == [(20, 20), (10, 10)]


@pytest.mark.parametrize("generator", ["struct", "scapy"])
def test_every_kind_of_service_arrives_with_what_it_carries(lab: Lab, tmp_path: Path, generator: str) -> None:
    flows = declared()
    if generator == "scapy":
        flows = [flow for flow in flows if flow["rate_pps"] <= 25 or flow["name"] == "voice"]
    taps = [lab.within("router", open_tap, name) for name in ("r-eth0", "r-eth1")]
    document, _ = play(flows, hosts(lab), tmp_path, SECONDS, SessionOptions(generator=generator))
    assert reasons_beyond_pacing(document) == []
    assert (document["alarms"], document["unattributed"]) == ([], {})
    results = document["flows"]
    assert [flow["name"] for flow in results] == [flow["name"] for flow in flows]
    assert all(flow["sent"] == flow["received"] > 0 for flow in results)
    assert stat.S_IMODE((tmp_path / "srtp_keys.json").stat().st_mode) == 0o600

    arriving = [frame for tap in taps for frame, _, _ in drained(tap)]
    inside = [payload for payloads in decrypted(arriving, tmp_path).values() for payload in payloads]
    by_flow: dict[str, list[bytes]] = defaultdict(list)
    for payload in inside:
        if len(payload) < HEAD:
            continue
        index, _ = TAG.unpack_from(payload, CANARY_BYTES)
        if index < len(flows) and flows[index]["kind"] != "voice" and len(payload) == flows[index]["payload_bytes"]:
            by_flow[flows[index]["kind"]].append(payload[HEAD:])
    assert joined_pages({body[:88] for body in by_flow["alert"]}) == alert_text(cap_xml(EARTHQUAKE))
    numbers = {COMMAND.unpack_from(body)[0] for body in by_flow["message"]}
    assert numbers == set(range(len(numbers)))
    assert {read_report(body)[1].course_deg for body in by_flow["track"]} == {200.0}
    # A call's packets show RTP's header inside ESP, and never the zeros that its speech is.
    calls = json.loads((tmp_path / "srtp_keys.json").read_text())
    sources = {call["ssrc"] for call in calls}
    sealed = [payload for payload in inside if int.from_bytes(payload[8:12], "big") in sources]
    assert len(sealed) >= 2 * 50
    assert not any(bytes(40) in payload[RTP_BYTES:] for payload in sealed)


def drained(tap: object) -> list[tuple]:
    frames: list[tuple] = []
    while batch := receive(tap, most=64):
        frames += batch
    return frames
