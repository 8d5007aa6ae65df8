"""strongSwan's charon with the kernel's own ESP (XFRM) over real delay: renewals, handovers, and a NAT that changes."""

from __future__ import annotations

from pathlib import Path

from netem_line import MS, command, wait_until
from swan_lab import Tunnelled, tunnelled

from testbed.emulation.swan.config import Options
from testbed.emulation.swan.watch import renewals
from testbed.kernel.queues import Impairment
from traffic.packets import NAT_T_PORT
from traffic.timestamps import open_tap, receive

LINK, NEARER = Impairment(5 * MS, 0.0, 10_000), Impairment(1 * MS, 0.0, 10_000)
FARTHER = Impairment(25 * MS, 0.0, 10_000)
RATE_PPS = 500.0
FALSE_ALARMS = {"XfrmInStateProtoError", "XfrmInStateSeqError", "XfrmInStateModeError", "XfrmInStateInvalid"}
"""What would say that a packet was forged or sent twice. While charon moves a peer the kernel refuses some for want of
a policy or an association, both ways; that says nothing of the packets."""


def took_s(lab: Tunnelled, what: str = "child") -> list[float]:
    return [renewal.took_s for renewal in renewals(lab.charons.log("rome")) if renewal.what == what]


def refused(lab: Tunnelled) -> dict[str, int]:
    """What the kernels of both hosts have refused of ESP, by reason."""
    found: dict[str, int] = {}
    for space in lab.hosts.values():
        for line in command(space, "cat", "/proc/net/xfrm_stat").splitlines():
            name, count = line.split()
            found[name] = found.get(name, 0) + int(count)
    return {name: count for name, count in found.items() if count}


def test_keys_are_renewed_while_the_delay_changes_and_nothing_is_lost(tmp_path: Path) -> None:
    with tunnelled(tmp_path, Options(rekey_s=1.0), LINK) as lab:
        states = command(lab.hosts["milan"], "ip", "-d", "xfrm", "state")
        assert states.count("flag af-unspec esn") == 2, states
        assert states.count("replay_window 1024") == 1, states  # of what comes in
        assert "espinudp sport 4500" in states
        assert "/PPK" in lab.associations("rome")
        lab.send(RATE_PPS, lambda: len(took_s(lab)) >= 1)
        for number, delay in enumerate((FARTHER, NEARER, FARTHER, LINK), start=2):
            lab.network.change(delay)
            lab.send(RATE_PPS, lambda number=number: len(took_s(lab)) >= number)  # type: ignore[misc]
        lab.renew_ike()
        lab.send(RATE_PPS, lambda: bool(took_s(lab, "ike")))
        assert len(took_s(lab, "ike")) == 1
        assert [stream.lost for stream in lab.streams] == [[], []]
        assert [stream.duplicated for stream in lab.streams] == [0, 0]
        assert refused(lab) == {}


def test_the_kernel_follows_a_nat_that_forgets_and_another_pop(tmp_path: Path) -> None:
    with tunnelled(tmp_path, Options(), LINK) as lab:
        lab.send(RATE_PPS, lab.flowing)
        identity, first = lab.identity(), lab.peer()
        at = lab.up.sent
        lab.network.forget()
        lab.send(RATE_PPS, lambda: lab.flowing(at) and lab.peer() != first)
        assert lab.peer()[0] == first[0] == "10.0.2.1"
        at = lab.up.sent
        lab.network.fail_over()
        lab.send(RATE_PPS, lambda: lab.flowing(at) and lab.peer()[0] == "10.0.3.1")
        assert lab.identity() == identity  # followed each time, not made anew
        assert not set(refused(lab)) & FALSE_ALARMS
        lab.charons.close()
        for space in lab.hosts.values():
            assert command(space, "ip", "xfrm", "state") == command(space, "ip", "xfrm", "policy") == ""
            assert command(space, "ip", "route", "show", "table", "220") == ""


def test_the_kernel_refuses_what_was_forged_or_sent_twice_and_counts_it(tmp_path: Path) -> None:
    with tunnelled(tmp_path, Options(), LINK) as lab:
        with lab.hosts["milan"].entered():
            tap = open_tap("milan-5")
        with lab.network.spaces["ce"].entered():
            path = open_tap("ce-5")
        with tap, path:
            lab.send(RATE_PPS, lab.flowing)
            frames = [frame for frame, _, _ in receive(tap) if frame[36:38] == NAT_T_PORT.to_bytes(2, "big")]
            esp = next(frame for frame in reversed(frames) if frame[42:46] != bytes(4))  # no message of IKE's
            later = int.from_bytes(esp[46:50], "big") + 500
            forged = esp[:46] + later.to_bytes(4, "big") + esp[50:]  # a number that was not there yet
            for _ in range(3):
                path.send(esp)
            for _ in range(5):
                path.send(forged)
            wait_until(lambda: sum(refused(lab).values()) >= 8)
        lab.send(RATE_PPS, lab.flowing)
        assert refused(lab) == {"XfrmInStateSeqError": 3, "XfrmInStateProtoError": 5}
        assert [stream.lost for stream in lab.streams] == [[], []]  # what was forged has moved no window
        assert [stream.duplicated for stream in lab.streams] == [0, 0]
