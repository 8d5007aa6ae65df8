"""Every queue message, read back with the system's own tc from a real kernel."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from testbed.kernel import links, queues
from testbed.kernel.namespaces import Namespace
from testbed.kernel.netlink import Netlink
from testbed.kernel.queues import Impairment

LO = links.LOOPBACK_INDEX


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    space = Namespace()
    yield space
    space.close()


@pytest.fixture
def netlink(namespace: Namespace) -> Iterator[Netlink]:
    with namespace.entered():
        sock = Netlink()
    yield sock
    sock.close()


def tc(namespace: Namespace, *arguments: str) -> list[dict[str, object]]:
    done = subprocess.run(
        ["tc", "-j", "-d", *arguments], preexec_fn=namespace.enter, capture_output=True, text=True, check=True
    )
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("delay_us", [0, 1, 999, 5_050, 9_624, 12_345, 40_000, 270_000, 300_000_000])
def test_a_delay_reaches_the_kernel_to_the_microsecond(namespace: Namespace, netlink: Netlink, delay_us: int) -> None:
    netlink.send([queues.add_netem(LO, Impairment(delay_us * 1_000, 0.0, 1_234), "lo")])
    options = tc(namespace, "qdisc", "show", "dev", "lo")[0]["options"]
    assert isinstance(options, dict)
    assert options.get("delay", {"delay": 0})["delay"] == pytest.approx(delay_us / 1e6, abs=5e-7)
    assert options["limit"] == 1_234
    assert options["rate"]["rate"] == queues.NOMINAL_RATE_BPS // 8
