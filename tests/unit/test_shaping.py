"""testbed.emulation.shaping: Mininet's words for a link, in the kernel's units."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.emulation.shaping import shape
from testbed.ground.errors import InputError
from testbed.kernel.queues import Bottleneck

MS = 1_000_000


@pytest.mark.parametrize(
    ("written", "delay_ns"), [("5ms", 5 * MS), ("0.25 s", 250 * MS), ("70us", 70_000), ("70", 70_000), (None, 0)]
)
def test_delays_are_read_as_tc_reads_them(written: str | None, delay_ns: int) -> None:
    assert shape("a-eth0", {"delay": written})[0].delay_ns == delay_ns


def test_rate_loss_and_queue_have_mininets_units() -> None:
    impairment, bottleneck = shape("a-eth0", {"bw": 10, "loss": 2.5, "max_queue_size": 100, "delay": "100ms"})
    assert impairment.loss == 0.025
    assert bottleneck == Bottleneck(10_000_000, 151_400)
    assert impairment.limit > 10_000_000 * 0.1 / (8 * 64)  # the smallest packets in flight
    assert shape("a-eth0", {"loss": 1})[1] is None


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"delay": "soon"}, "delay 'soon' is not a time as tc writes it"),
        ({"delay": "-5ms"}, "delay '-5ms' is not a time"),
        ({"loss": 101}, "loss 101 is not a number from 0 to 100"),
        ({"bw": 20_000}, "bw 20000 is not a number from 0.008 to 10000"),
        ({"bw": "10"}, "bw '10' is not a number"),
        ({"max_queue_size": 0.5}, "max_queue_size 0.5 is not a number from 1"),
        ({"jitter": "1ms"}, "'jitter' is nothing that a link here takes: bw, delay, loss, max_queue_size"),
    ],
)
def test_what_cannot_be_is_told_with_the_interface(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as told:
        shape("a-eth0", asked)
    assert str(told.value).startswith(f"a-eth0: {words}")
