"""The operator's link encryption: an ESP tunnel of the kernel's XFRM between each terminal and the PoPs.

From a terminal's LAN everything goes encrypted up to a PoP, is decrypted there before its address is translated, and
the other way round; the hosts know nothing of it. All PoPs answer at one address, so that a terminal need not know
which one serves it: its association upwards is known to all of them, downwards each has its own.
"""

from __future__ import annotations

import ipaddress
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from testbed.emulation.addresses import LanAddresses
from testbed.emulation.nodes import MTU_BYTES, EmulatedNode
from testbed.emulation.wiring import Wiring
from testbed.ground.errors import KernelError, PlanError
from testbed.kernel import links
from testbed.plan.model import Plan
from traffic.flows import LARGEST_PAYLOAD_BYTES

CONCENTRATOR: Final = ipaddress.IPv4Address("100.127.255.1")
"""Where the PoPs end the tunnels; of the operator's shared space (RFC 6598), far from the LANs."""

WINDOW: Final = 4096
"""Packets of anti-replay, the kernel's most: all classes share an association, and priorities reorder between them."""

OVERHEAD_BYTES: Final = 20 + 8 + 8 + 3 + 2 + 16
"""At most added to a packet: outer IPv4, ESP header, IV, padding, trailer, ICV (RFC 4303, 4106)."""

LARGEST_PACKET_BYTES: Final = 1492
"""What ESP makes of the largest payload (`traffic.flows.LARGEST_PAYLOAD_BYTES`)."""

IPV6_MORE_BYTES: Final = 20
"""What its header is longer than IPv4's."""

_KEY_BYTES: Final = 32 + 4  # AES-256 and the salt of RFC 4106
_FIRST_SPI: Final = 0x1000
_REQID: Final = 1


@dataclass(frozen=True)
class Association:
    """One direction of a tunnel, with the key that both ends have."""

    source: links.Address
    destination: links.Address
    spi: int
    key: bytes

    def line(self) -> str:
        """As `ip -batch` reads it. The DSCP goes outwards by the kernel's own default."""
        return (
            f"xfrm state add src {self.source} dst {self.destination} proto esp spi {self.spi:#x} reqid {_REQID} mode "
            f"tunnel replay-window {WINDOW} flag esn af-unspec aead rfc4106(gcm(aes)) 0x{self.key.hex()} 128"
        )


def wanted(encryption: object) -> bool:
    """Whether this kind of encryption has the operator's part."""
    return encryption in ("operator", "both")


def check_sizes(plan: Plan) -> None:
    """Refuse flows whose packets, encrypted twice or over IPv6, exceed the MTU; raises PlanError."""
    encryption, access = (plan.traffic.get(name) for name in ("encryption", "access"))
    added = (OVERHEAD_BYTES if encryption == "both" else 0) + (IPV6_MORE_BYTES if access == "ipv6" else 0)
    most = min(LARGEST_PAYLOAD_BYTES, LARGEST_PAYLOAD_BYTES - added + MTU_BYTES - LARGEST_PACKET_BYTES)
    for flow in plan.flows:
        if flow.get("payload_bytes", 0) > most:
            raise PlanError(
                f"plan of {plan.topology}: flow '{flow['name']}': payload_bytes {flow['payload_bytes']} is refused "
                f"with encryption={encryption} and access={access}: use {most} at most, for an MTU of {MTU_BYTES} bytes"
            )


def build(wiring: Wiring) -> None:
    """Set the tunnels up, where the plan's encryption wants them; after addresses and translation. Raises KernelError.

    Keys are made here and kept nowhere.
    """
    if not wanted(wiring.plan.traffic.get("encryption")):
        return
    pops = [node.name for node in wiring.plan.nodes if node.role == "pop"]
    lines: dict[str, list[str]] = {name: [] for name in pops}
    spis = iter(range(_FIRST_SPI, 1 << 31))
    for lan in wiring.plan.lans:
        if wiring.plan.node(lan.router).role != "terminal":
            continue
        own = wiring.lans[lan.host]
        terminal = tunnel_end(own)
        up = Association(terminal, CONCENTRATOR, next(spis), secrets.token_bytes(_KEY_BYTES))
        down = {pop: Association(CONCENTRATOR, terminal, next(spis), secrets.token_bytes(_KEY_BYTES)) for pop in pops}
        states = [association.line() for association in (up, *down.values())]
        lines[lan.router] = [*states, *_policies(own, terminal, CONCENTRATOR, up_here=True)]
        for pop in pops:
            lines[pop] += [up.line(), down[pop].line(), *_policies(own, CONCENTRATOR, terminal, up_here=False)]
    for pop in pops:
        node = wiring.nodes[pop]
        node.tell([links.address(links.LOOPBACK_INDEX, CONCENTRATOR, 32)])
        node.settle()
    for name, batch in lines.items():
        _tell(wiring.nodes[name], batch)


def tunnel_end(lan: LanAddresses) -> links.Address:
    """A terminal's end of its tunnel: its address in its LAN, which the network routes to it already."""
    return lan.router[0]


def _policies(lan: LanAddresses, here: links.Address, there: links.Address, *, up_here: bool) -> Iterator[str]:
    """What goes into the tunnel here, and what must have come out of it, in both families of the inside."""
    for network, everything in zip(lan.networks, ("0.0.0.0/0", "::/0"), strict=True):
        sent = f"src {network} dst {everything}" if up_here else f"src {everything} dst {network}"
        received = f"src {everything} dst {network}" if up_here else f"src {network} dst {everything}"
        for selector, direction, ends in ((sent, "out", (here, there)), (received, "fwd", (there, here))):
            template = f"tmpl src {ends[0]} dst {ends[1]} proto esp reqid {_REQID} mode tunnel"
            yield f"xfrm policy add {selector} dir {direction} {template}"


def refused(node: EmulatedNode) -> dict[str, int]:
    """What the kernel refused at a tunnel's end, by its own names (/proc/net/xfrm_stat); zeros left out."""
    done = subprocess.run(
        ["cat", "/proc/net/xfrm_stat"], capture_output=True, text=True, preexec_fn=node.namespace.enter, check=False
    )
    counts = (line.split() for line in done.stdout.splitlines())
    return {name: int(count) for name, count in counts if int(count)}


def _tell(node: EmulatedNode, lines: list[str]) -> None:
    done = subprocess.run(
        ["ip", "-batch", "-"],
        input="\n".join([*lines, ""]),
        text=True,
        capture_output=True,
        preexec_fn=node.namespace.enter,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise KernelError(f"the operator's tunnels at {node.name}: ip xfrm: {said[0] if said else 'failed'}")
