"""testbed.kernel.netlink: every message is acknowledged, and a refused one is named, whatever is around it."""

from __future__ import annotations

import ipaddress
import re
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from kernel_lab import LO, ip, open_netlink
from numpy.typing import NDArray

from testbed.ground.errors import KernelError
from testbed.kernel import links
from testbed.kernel.namespaces import Namespace
from testbed.kernel.netlink import ACK, Message, Netlink

pytestmark = pytest.mark.netns

NOWHERE = 999  # an interface index that does not exist


@pytest.fixture
def space() -> Iterator[Namespace]:
    space = Namespace()
    yield space
    space.close()


@pytest.fixture
def netlink(space: Namespace) -> Iterator[Netlink]:
    with open_netlink(space) as netlink:
        yield netlink


def address(number: int, index: int = LO) -> Message:
    return links.address(index, ipaddress.ip_address("10.1.0.0") + number, 32)


def refusal(number: int) -> str:
    """How the error about `address(number, NOWHERE)` reads; some kernels add words of their own."""
    return rf"^the kernel refused address 10\.1\.0\.{number}/32 on interface {NOWHERE}: No such device.* \(ENODEV\)$"


def held(space: Namespace) -> set[str]:
    (lo,) = ip(space, "address", "show", "dev", "lo")
    return {entry["local"] for entry in lo["addr_info"]}


def test_one_bad_message_among_two_hundred_is_named_and_the_others_are_carried_out(
    space: Namespace, netlink: Netlink
) -> None:
    messages = [address(number, NOWHERE if number == 100 else LO) for number in range(200)]
    with pytest.raises(KernelError, match=refusal(100)):
        netlink.send(messages)
    assert held(space) == {f"10.1.0.{number}" for number in range(200) if number != 100}
    assert netlink.send([address(100)]) == []
    assert "10.1.0.100" in held(space)


def test_of_several_refused_the_first_is_named(netlink: Netlink) -> None:
    with pytest.raises(KernelError, match=refusal(1)):
        netlink.send([address(0), address(1, NOWHERE), address(2, NOWHERE), *(address(n, NOWHERE) for n in range(70))])


def test_nothing_to_send_is_nothing_to_wait_for(netlink: Netlink) -> None:
    assert netlink.send([]) == []


def test_a_socket_stays_in_its_namespace_whoever_sends(space: Namespace, netlink: Netlink) -> None:
    other = Namespace()
    with other.entered():
        netlink.send([address(7)])
    assert held(space) == {"10.1.0.7"}
    assert held(other) == set()
    other.close()


def test_threads_can_share_a_socket(space: Namespace, netlink: Netlink) -> None:
    """Each gets its own answers; answers taken by another thread would block one for ever or name a wrong object."""
    found: dict[int, set[bool]] = {}  # by worker: did each error name its own message?

    def work(worker: int) -> None:
        errors = set()
        for number in range(100):
            try:
                netlink.send([address(number), address(worker, NOWHERE), address(number)])
            except KernelError as error:
                errors.add(re.match(refusal(worker), str(error)) is not None)
        found[worker] = errors

    threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {worker: {True} for worker in range(4)}


def test_an_interrupted_batch_leaves_nothing_for_the_next(
    space: Namespace, netlink: Netlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: Netlink) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Netlink, "_receive", interrupt)
        with pytest.raises(KeyboardInterrupt):
            netlink.send([address(1), address(2, NOWHERE), address(3)])
    assert netlink.send([address(4)]) == []
    assert held(space) == {"10.1.0.1", "10.1.0.3", "10.1.0.4"}
    with pytest.raises(KernelError, match=refusal(5)):
        netlink.send([address(5, NOWHERE)])


def packed(messages: list[Message]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(message.data for message in messages), np.uint8).reshape(len(messages), -1).copy()


def test_packed_rows_are_carried_out_and_a_refused_one_is_named(space: Namespace, netlink: Netlink) -> None:
    rows = packed([address(number, NOWHERE if number == 100 else LO) for number in range(200)])
    with pytest.raises(KernelError, match="row 100: No such device"):
        netlink.send_rows(rows, lambda number: f"row {number}")
    assert held(space) == {f"10.1.0.{number}" for number in range(200) if number != 100}
    assert netlink.send_rows(packed([address(100)]), str) == []
    assert "10.1.0.100" in held(space)


def test_a_batch_asks_for_one_acknowledgement_and_a_refusal_needs_none(netlink: Netlink) -> None:
    rows = packed([address(number) for number in range(130)])
    netlink.send_rows(rows, str)
    asked = [number for number, flags in enumerate(rows[:, 6:8].copy().view(np.uint16)[:, 0]) if flags & ACK]
    assert asked == [63, 127, 129]  # 64 to a send
    with pytest.raises(KernelError, match="refused 0"):
        netlink.send_rows(packed([address(0, NOWHERE), address(1)]), str)
