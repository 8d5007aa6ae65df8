"""Stock Mininet in the same network: an office LAN with Open vSwitch and a TCLink behind a satellite terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mininet.link import TCLink
from mininet.net import Mininet
from mininet.node import Host, OVSSwitch
from netem_line import tc
from test_network import plan, rtt_ms

from testbed.emulation.network import PlanTopo
from testbed.emulation.nodes import EmulatedLink
from testbed.ground.errors import InputError

OFFICE_MS = 15.0
CONTROL = Path("/usr/share/openvswitch/scripts/ovs-ctl")


class OfficeTopo(PlanTopo):
    """The plan's network, and a switch with two desks at Rome's terminal."""

    def build(self, *args: Any, **options: Any) -> None:
        super().build(*args, **options)
        self.addSwitch("s1", cls=OVSSwitch, failMode="standalone")
        for number in (1, 2):
            self.addHost(f"desk{number}", cls=Host, ip=f"192.168.7.{number + 10}/24", defaultRoute="via 192.168.7.1")
            self.addLink(f"desk{number}", "s1", cls=TCLink, delay=f"{OFFICE_MS}ms")
        self.addLink("s1", "ut-rome", intfName2="office")


@pytest.fixture(scope="module")
def open_vswitch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Its database and daemon, in the guest's own files."""
    if not CONTROL.exists() or shutil.which("ovs-vsctl") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Open vSwitch is missing in CI: run 'apt-get install openvswitch-switch'", pytrace=False)
        pytest.skip("no Open vSwitch: run 'sudo apt-get install openvswitch-switch'")
    start = [str(CONTROL), "start", "--system-id=random", "--no-monitor", "--no-mlockall"]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL, timeout=60)
    yield
    subprocess.run([str(CONTROL), "stop"], check=True, stdout=subprocess.DEVNULL, timeout=60)


@pytest.fixture(scope="module")
def net(open_vswitch: None) -> Iterator[Mininet]:
    net = Mininet(topo=OfficeTopo(plan()), controller=None)
    net.start()
    net["ut-rome"].setIP("192.168.7.1/24", intf="office")
    yield net
    net.stop()


def test_desks_reach_each_other_through_the_switch(net: Mininet) -> None:
    answer = net["desk1"].cmd("ping -c2 -i0.3 192.168.7.12")
    assert "2 received" in answer
    assert float(answer.rsplit("= ", 1)[1].split("/")[0]) > 2 * OFFICE_MS


def test_a_desk_reaches_the_terminal_and_the_terminal_the_data_centre(net: Mininet) -> None:
    assert "2 received" in net["desk1"].cmd("ping -c2 -i0.3 192.168.7.1")
    rtt_ms(net["rome"].cmd(f"ping -c1 {net['dc'].IP()}"))


def test_a_link_of_our_own_takes_tclinks_words_and_a_planned_one_refuses_them(net: Mininet) -> None:
    a, b = net["ut-rome"], net["gw"]
    link = net.addLink(a, b, cls=EmulatedLink, intfName1="by-hand", intfName2="by-hand2", bw=8, delay="20ms", loss=0)
    for interface, address in ((link.intf1, "192.168.9.1/24"), (link.intf2, "192.168.9.2/24")):
        interface.setIP(address)
    assert "1 received" in a.cmd("ping -c1 192.168.9.2")  # asks for the neighbour's address first
    assert 40.0 < rtt_ms(a.cmd("ping -c1 192.168.9.2")) < 45.0
    netem, tbf, *_ = tc(a.namespace, "qdisc", "show", "dev", "by-hand")
    assert (netem["options"]["delay"]["delay"], tbf["options"]["rate"]) == (0.02, 1_000_000)  # bytes per second
    for interface in (link.intf1, link.intf2):
        interface.config(delay="30ms", loss=100)
    (netem,) = tc(a.namespace, "qdisc", "show", "dev", "by-hand")
    assert (netem["options"]["delay"]["delay"], netem["options"]["loss-random"]["loss"]) == (0.03, 1)
    assert "100% packet loss" in a.cmd("ping -c1 -W0.3 192.168.9.2")
    net.delLink(link)
    (planned,) = net.linksBetween(net["gw"], net["pop"])
    with pytest.raises(InputError, match=r"gw.* of gw: its delay is the plan's"):
        planned.intf1.config(delay="5ms")


def test_links_and_hosts_come_and_go_while_it_runs(net: Mininet) -> None:
    visitor = net.addHost("visitor", cls=Host, ip="192.168.8.2/24")
    link = net.addLink(visitor, net["ut-rome"], intfName2="guestport")
    visitor.setIP("192.168.8.2/24")
    net["ut-rome"].setIP("192.168.8.1/24", intf="guestport")
    assert "1 received" in visitor.cmd("ping -c1 192.168.8.1")
    net.delLink(link)
    assert "guestport" not in net["ut-rome"].cmd("ip -o link")
    rtt_ms(net["rome"].cmd(f"ping -c1 {net['dc'].IP()}"))
