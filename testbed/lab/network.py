"""A live network in this very process, the schedule playing. Light to import: in the guest that is time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from testbed.ground.errors import MachineError
from testbed.lab import place
from testbed.plan.model import Plan

if TYPE_CHECKING:
    from mininet.net import Mininet


@contextmanager
def network(plan: Plan) -> Iterator[Mininet]:
    """Mininet's network of a plan for the time of the block; raises MachineError where this process cannot emulate."""
    why = place.why_not_native()
    if why is not None:
        raise MachineError(why)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Debian's Mininet 2.3.0 imports distutils
        from testbed.emulation.network import running  # here: only where it can work
    with running(plan, background=True) as net:
        yield net
