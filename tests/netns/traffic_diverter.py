"""An attacker in a test: a thread of its own, and the filters that divert for it at the lab's router."""

from __future__ import annotations

import contextlib
import struct
import threading
from collections.abc import Callable, Iterator, Sequence

from traffic_lab import Lab, run

from traffic.adversary import diversions
from traffic.attacks import Action
from traffic.selection import Selection
from traffic.threat import Threat

_RETURN, _ALL = 0x06, 0xFFFFFFFF
_DROP = 2  # TC_ACT_SHOT, linux/pkt_cls.h


@contextlib.contextmanager
def working(work: Callable[[Callable[[], bool]], None]) -> Iterator[None]:
    """`work(stop)` in a thread, from when it first asks `stop()` until the block ends; its errors fail the test."""
    began, ended = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def stop() -> bool:
        began.set()
        return ended.is_set()

    def attack() -> None:
        try:
            work(stop)
        except BaseException as error:  # noqa: BLE001 - handed on to the test
            errors.append(error)
            began.set()

    thread = threading.Thread(target=attack)
    thread.start()
    assert began.wait(30)
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert errors == []


def diverter(
    lab: Lab, threat: Threat, actions: Sequence[Action] = (), interface: str = "r-eth0"
) -> Callable[[bool], None]:
    """Set or take away what diverts the attacker's packets on their way through the router."""

    def divert(on: bool) -> None:
        for number, chosen in enumerate(diversions(threat, actions), start=1):
            divert_selected(lab, chosen, on=on, priority=number, interface=interface)

    return divert


def divert_selected(lab: Lab, chosen: Selection, *, on: bool, priority: int = 1, interface: str = "r-eth0") -> None:
    """The selection's own program as a filter; the machine may lack the actions, so the program itself says drop."""
    name = lab.name("router")
    if not on:
        run(f"tc -n {name} filter del dev {interface} ingress prio {priority}")
        return
    run(f"tc -n {name} qdisc replace dev {interface} clsact")
    code = []
    for operation, if_true, if_false, operand in struct.iter_unpack("=HBBI", chosen.program()):
        verdict = (_DROP if operand == _ALL else _ALL) if operation == _RETURN else operand
        code.append(f"{operation} {if_true} {if_false} {verdict}")
    head = f"tc -n {name} filter add dev {interface} ingress protocol ip prio {priority} bpf da bytecode"
    run(head, f"{len(code)},{','.join(code)}")
