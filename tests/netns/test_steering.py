"""testbed.kernel.steering: what the kernel holds afterwards, read in another mount namespace."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_lab import Pair, command

from testbed.ground.errors import MachineError
from testbed.kernel import steering
from testbed.kernel.steering import steer

pytestmark = pytest.mark.netns


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


def steered_to(pair: Pair, end: int, name: str) -> str:
    read = f"mount -t sysfs s /sys && cat /sys/class/net/{name}/queues/rx-0/rps_cpus"
    return command(pair.spaces[end], "unshare", "-m", "sh", "-c", read).stdout.strip()


def both(pair: Pair) -> list[steering.Steered]:
    return [(pair.spaces[0], ["a-eth0"], 0), (pair.spaces[1], ["b-eth7"], 1)]


def test_each_interface_gets_one_processor_of_those_there_are(pair: Pair) -> None:
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) == 1:
        pytest.skip("one processor: nothing needs to be steered")
    assert (steered_to(pair, 0, "a-eth0"), steered_to(pair, 1, "b-eth7")) == ("0", "0")
    mounts = Path("/proc/self/mounts").read_text()
    steer(both(pair))
    for end, name in enumerate(("a-eth0", "b-eth7")):
        assert int(steered_to(pair, end, name), 16) == 1 << processors[end % len(processors)]
    assert mounts == Path("/proc/self/mounts").read_text()  # the machine's own view has not changed


def test_on_one_processor_nothing_is_touched(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    steer(both(pair))
    assert (steered_to(pair, 0, "a-eth0"), steered_to(pair, 1, "b-eth7")) == ("0", "0")


def test_a_machine_that_gives_no_sysfs_is_told_what_to_do(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(steering, "_SYSFS", b"/nowhere")
    with pytest.raises(MachineError, match=r"^packets cannot be kept in order on 2 processors.*taskset -c 0"):
        steer(both(pair))


def test_a_set_of_processors_is_written_as_the_kernel_writes_it() -> None:
    written = [steering._mask(processor) for processor in (0, 5, 31, 32, 64)]
    assert written == ["1", "20", "80000000", "1,00000000", "1,00000000,00000000"]
