"""A user's own attack: a Python function from a Scapy packet to the packets to be sent.

    def double(packet):                 # an IP packet, as Scapy has it
        return [packet, (0.5, packet)]  # at once, and half a second later; what is not in the list is dropped

It may take `memory` (traffic.memory) as a second argument. Scapy needs some milliseconds for a packet: let it have few.
"""

from __future__ import annotations

import inspect
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from traffic.attacks import Action, Function, Sending
from traffic.caught import IPV4_BYTES, Caught
from traffic.errors import AdversaryError
from traffic.memory import Memory

SEPARATOR: Final = ".py:"
"""In FILE.py:FUNCTION."""


def split(written: str) -> tuple[Path, str] | None:
    """(file, function) of FILE.py:FUNCTION; None if it is none."""
    before, found, function = written.rpartition(SEPARATOR)
    return (Path(before + ".py"), function) if found and function.isidentifier() else None


def load_action(path: Path, written: str) -> Action:
    """The action of FILE.py:FUNCTION, from a copy of that file at `path`; raises AdversaryError."""
    named = split(written)
    name = "" if named is None else named[1]
    try:
        function = runpy.run_path(str(path)).get(name)
    except Exception as error:  # whatever a stranger's file raises
        raise AdversaryError(f"attack {written}: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise AdversaryError(f"attack {written}: there is no function '{name}'")
    return Action(name, wrap_scapy(function), f"does what {written} says", (), takes=True)


def wrap_scapy(function: Callable[..., Any]) -> Function:
    """An attack of the catalogue's kind from a function of Scapy packets: it gets one, with the memory if it wants two
    arguments, and returns a list of packets, each alone or as (delay in s, packet); None passes on this packet.

    Raises AdversaryError when it is called and the function fails or returns something else.
    """
    from scapy.layers.inet import IP  # here, because importing Scapy takes seconds on a slow core

    wants_memory = len(inspect.signature(function).parameters) > 1

    def act(caught: Caught, memory: Memory) -> list[Sending] | None:
        packet = IP(caught.packet)
        try:
            wanted = function(packet, memory) if wants_memory else function(packet)
            return None if wanted is None else [_sending(item) for item in wanted]
        except Exception as error:  # whatever a stranger's function raises
            name = getattr(function, "__name__", "attack")
            raise AdversaryError(f"attack {name}: {type(error).__name__}: {error}") from error

    return act


def _sending(item: Any) -> Sending:
    """A packet, or (delay, packet), of Scapy or as bytes."""
    delay_s, packet = item if isinstance(item, tuple) else (0.0, item)
    data = bytes(packet)
    if len(data) < IPV4_BYTES or data[0] >> 4 != 4:
        raise ValueError(f"{len(data)} bytes that are no IPv4 packet")
    return Sending(float(delay_s), data)
