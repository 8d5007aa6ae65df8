"""Two hosts behind a NAT that meet over a hub: real namespaces and a real NAT."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from traffic_hosts import MILAN, ROME, S, flow, play, reasons_beyond_pacing, routed
from traffic_lab import Lab

from traffic.errors import SessionError
from traffic.exposure import Listeners, Watched, open_ears
from traffic.packets import INNER_PORT, NAT_T_PORT
from traffic.session import HostSockets, SessionOptions
from traffic.timestamps import open_tap, open_udp

pytestmark = pytest.mark.netns

TARANTO = "10.0.3.2"
CALLS = [
    flow("call", "rome", "taranto", 50, 172, 46, "voice"),
    flow("answer", "taranto", "rome", 50, 172, 46, "voice"),
    flow("upload", "rome", "milan", 50, 172, 46),
]


@pytest.fixture
def lab() -> Iterator[Lab]:
    if shutil.which("iptables-legacy") is None:
        pytest.skip("iptables-legacy is not installed")
    with Lab() as lab:
        routed(lab)
        lab.add("taranto")
        lab.link("taranto", "h-eth0", f"{TARANTO}/24", "router", "r-eth2", "10.0.3.1/24")
        lab.ip("taranto", "route add default via 10.0.3.1")
        lab.command("router", "iptables-legacy -t nat -A POSTROUTING -o r-eth1 -j MASQUERADE --random")
        lab.command("router", "iptables-legacy -A FORWARD -i r-eth0 -o r-eth2 -j DROP")
        lab.command("router", "iptables-legacy -A FORWARD -i r-eth2 -o r-eth0 -j DROP")
        yield lab


def opened(lab: Lab, port: int = NAT_T_PORT) -> dict[str, HostSockets]:
    found = {}
    for number, (name, address) in enumerate((("rome", ROME), ("taranto", TARANTO), ("milan", MILAN)), start=1):
        udp = lab.within(name, open_udp, address, port, tx_stamps=True, no_checksum=port == NAT_T_PORT)
        tap = lab.within(name, open_tap, "h-eth0")
        found[name] = HostSockets(name, address, f"10.77.0.{number}", name != "milan", udp, tap)
    return found


@pytest.mark.parametrize("encryption", ["overlay", "operator"])
def test_a_call_between_two_sites_behind_the_nat_goes_over_the_hub(lab: Lab, tmp_path: Path, encryption: str) -> None:
    options = SessionOptions(encryption=encryption, hub="milan")  # type: ignore[arg-type]
    port = INNER_PORT if encryption == "operator" else NAT_T_PORT
    document, rows = play(CALLS, opened(lab, port), tmp_path, 1, options)
    assert reasons_beyond_pacing(document) == []
    assert (document["alarms"], document["unattributed"]) == ([], {})
    assert [result["via"] for result in document["flows"]] == [["milan"], ["milan"], []]
    for number, result in enumerate(document["flows"]):
        assert result["sent"] == result["received"] == 50
        mine = rows[rows["flow"] == number]
        assert (mine["delay_ns"] > 0).all()
    if encryption == "overlay":
        # Each leg of a call has an association of its own: each packet is judged twice, and counted once.
        assert all(result["integrity"]["counts"] == {"GENUINE": 50} for result in document["flows"])


def test_the_hub_has_keys_by_exchange_with_each_of_the_two(lab: Lab, tmp_path: Path) -> None:
    calls = [call | {"start_ns": S} for call in CALLS]
    document, _ = play(calls, opened(lab), tmp_path, 3, SessionOptions(profile="classic", hub="milan"))
    assert (document["alarms"], document["unattributed"]) == ([], {})
    for result in document["flows"]:
        assert result["received"] == result["sent"] > 0
        assert result["integrity"]["counts"] == {"GENUINE": result["received"]}


def test_without_a_hub_the_two_never_meet(lab: Lab, tmp_path: Path) -> None:
    document, _ = play(CALLS[:1], opened(lab), tmp_path, 1)
    assert document["flows"][0]["received"] == 0


def test_a_hub_must_be_outside(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="hub 'taranto': it must be a host with sockets, and outside the NAT"):
        play(CALLS, opened(lab), tmp_path, 1, SessionOptions(hub="taranto"))


def test_a_listener_knows_both_legs_as_the_calls(lab: Lab, tmp_path: Path) -> None:
    ends = ((socket.inet_aton(ROME), socket.inet_aton(MILAN)), (socket.inet_aton(MILAN), socket.inet_aton(TARANTO)))
    socks = {name: lab.within(name, open_ears) for name in ("router", "taranto")}
    listeners, done = Listeners(socks, [Watched("call", b"not in this test", ends, 46)]), threading.Event()
    listening = threading.Thread(target=listeners.listen, args=(done.is_set,))
    listening.start()
    play(CALLS[:1], opened(lab), tmp_path, 1, SessionOptions(hub="milan"))
    done.set()
    listening.join()
    cells = {name: cell for name, (cell,) in listeners.matrix(0).items()}
    assert {cell["level"] for cell in cells.values()} == {"metadata"}
    assert cells["router"]["packets"] >= 100  # what goes out to the hub, and what comes back from it
    assert cells["taranto"]["packets"] == 50
    assert cells["taranto"]["addresses"] == [f"{MILAN} → {TARANTO}"]
