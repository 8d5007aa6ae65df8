"""Waiting until the kernel takes in what is sent to a namespace's own IPv6 addresses.

An address is there when its message is acknowledged, its route (table local) only once a kernel worker has come to it
(addrconf_dad_work, Linux 6.1). Until then packets to it are dropped, and on a busy machine that takes a while.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from typing import Final

from testbed.ground.errors import KernelError
from testbed.kernel import netlink
from testbed.kernel.links import Address
from testbed.kernel.netlink import Message, Netlink

_GETROUTE, _RTA_DST, _RTN_LOCAL = 26, 1, 2  # linux/rtnetlink.h
_TYPE_OFFSET: Final = 7  # rtm_type in struct rtmsg
_PAUSE_S: Final = 0.001
_LONGEST_S: Final = 10.0


def await_local(sock: Netlink, addresses: Sequence[Address]) -> None:
    """Return once all the IPv6 `addresses` are local; each must have a route already, if only its link's.

    Raises KernelError with the first that is not after ten seconds.
    """
    waiting = [address for address in addresses if address.version == 6]
    deadline = time.monotonic() + _LONGEST_S
    while waiting:
        answers = sock.send([_lookup(address) for address in waiting])
        waiting = [
            address for address, answer in zip(waiting, answers, strict=True) if answer[_TYPE_OFFSET] != _RTN_LOCAL
        ]
        if waiting and time.monotonic() > deadline:
            raise KernelError(f"address {waiting[0]} is not local {_LONGEST_S:g} s after it was given: see ip -6 route")
        if waiting:
            time.sleep(_PAUSE_S)


def _lookup(address: Address) -> Message:
    header = struct.pack("=BBBBBBBBI", socket.AF_INET6, 128, 0, 0, 0, 0, 0, 0, 0)
    return netlink.message(_GETROUTE, 0, header + netlink.attribute(_RTA_DST, address.packed), f"route to {address}")
