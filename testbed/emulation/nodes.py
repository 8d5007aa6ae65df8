"""Mininet's nodes, interfaces and links, made over netlink in one process.

A node is a namespace held by a file descriptor; it gets a shell, a process and a pseudo-terminal only when somebody
asks for one (`cmd`, `pid`, the CLI). `popen` needs none. What is made of it before the network starts is gathered and
told to the kernel in a few sends; from then on at once.
"""

from __future__ import annotations

import socket
from subprocess import Popen
from typing import Any, Protocol

from mininet.link import Intf, Link
from mininet.node import Node

from testbed.emulation import shaping
from testbed.ground.errors import InputError
from testbed.kernel import filters, links, queues
from testbed.kernel.namespaces import Namespace, set_sysctl
from testbed.kernel.netlink import Message, Netlink

MTU_BYTES = 1500  # Ethernet, IEEE 802.3

_SYSCTLS = {
    "net/ipv4/conf/all/rp_filter": 0,  # a handover makes routes asymmetric for a moment
    "net/ipv4/conf/default/rp_filter": 0,
    "net/ipv6/conf/all/accept_dad": 0,
    "net/ipv6/conf/default/accept_dad": 0,
    "net/ipv6/conf/default/accept_ra": 0,
    "net/ipv6/conf/default/addr_gen_mode": 1,  # no link-local address of its own: no packets nobody asked for
}
_FORWARDING = {"net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1}


class Lifecycle(Protocol):
    """What nodes tell the emulation they belong to."""

    @property
    def started(self) -> bool: ...

    def attach(self, node: EmulatedNode) -> None: ...

    def join(self, pair: Message) -> None: ...

    def settle(self) -> None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


class EmulatedNode(Node):
    """A Mininet node in an anonymous namespace."""

    forwards = False
    number = 0  # its place among the emulation's nodes

    def __init__(self, name: str, emulation: Lifecycle, **params: Any) -> None:
        self._constructed = False
        self._pid: int | None = None
        self._last_index = links.LOOPBACK_INDEX
        self.indices: dict[str, int] = {}  # interface index by name
        self._unsteered: list[str] = []
        self.emulation = emulation
        self._untold: list[Message] = []
        self.namespace = Namespace()
        with self.namespace.entered():
            for sysctl, value in (_SYSCTLS | _FORWARDING if self.forwards else _SYSCTLS).items():
                set_sysctl(sysctl, value)
            self.netlink = Netlink()
        self.tell([links.set_up(links.LOOPBACK_INDEX)])
        super().__init__(name, **(params | {"inNamespace": False}))  # not Mininet's own namespace
        self._constructed = True
        emulation.attach(self)

    def new_interface(self, name: str) -> int:
        """Index for an interface about to be made."""
        self._last_index += 1
        self.indices[name] = self._last_index
        self._unsteered.append(name)
        return self._last_index

    def take_unsteered(self) -> list[str]:
        """Names of the interfaces that are new since this was asked last."""
        names, self._unsteered = self._unsteered, []
        return names

    def tell(self, messages: list[Message]) -> None:
        """Have the kernel do this when the emulation settles next, in order and after the links that it has joined."""
        self._untold += messages

    def settle(self) -> None:
        """Tell the kernel what has been gathered."""
        if self._untold:
            messages, self._untold = self._untold, []
            self.netlink.send(messages)

    @property
    def pid(self) -> int | None:
        """Process of the node's shell, which is started if need be."""
        if self._pid is None:
            self.startShell()
        return self._pid

    @pid.setter
    def pid(self, value: int | None) -> None:
        self._pid = value

    def startShell(self, mnopts: str | None = None) -> None:
        """Start the shell, but not for Mininet's constructor: that asks before anyone needs it."""
        if self._constructed:
            self.emulation.settle()
            super().startShell(mnopts)

    def sendCmd(self, *args: Any, **kwargs: Any) -> None:
        if self.shell is None:
            self.startShell()
        super().sendCmd(*args, **kwargs)

    def cmd(self, *args: Any, **kwargs: Any) -> str | None:
        if self.shell is None:
            self.startShell()
        output: str | None = super().cmd(*args, **kwargs)
        return output

    def popen(self, *args: Any, **kwargs: Any) -> Popen[bytes]:
        self.emulation.settle()
        kwargs.setdefault("mncmd", ["mnexec", "-d"])
        pid, self._pid = self._pid, self._pid or 0  # Mininet's popen asks for a pid before it knows that it needs none
        try:
            process: Popen[bytes] = super().popen(*args, **kwargs)
        finally:
            self._pid = pid
        return process

    def _popen(self, cmd: list[str], **params: Any) -> Popen[bytes]:
        params.setdefault("preexec_fn", self.namespace.enter)
        process: Popen[bytes] = super()._popen(cmd, **params)
        return process

    def addIntf(self, intf: Intf, *args: Any, **kwargs: Any) -> None:
        """Take an interface on: ours, or one that another kind of link has made here (Open vSwitch, TCLink)."""
        super().addIntf(intf, *args, **kwargs)
        if not isinstance(intf, EmulatedIntf):
            with self.namespace.entered():
                index = socket.if_nametoindex(intf.name)
            self.indices[intf.name] = index
            self._last_index = max(self._last_index, index)

    def emulated_interfaces(self) -> list[EmulatedIntf]:
        """Those of the plan's links."""
        return [interface for interface in self.intfList() if isinstance(interface, EmulatedIntf)]

    def config(self, **_params: Any) -> dict[str, Any]:
        """Addresses and routes come from the plan, not from Mininet's defaults."""
        return {}

    def terminate(self) -> None:
        super().terminate()
        self.netlink.close()
        self.namespace.close()

    def __repr__(self) -> str:
        interfaces = ",".join(f"{interface.name}:{interface.IP()}" for interface in self.intfList())
        return f"<{type(self).__name__} {self.name}: {interfaces} pid={self._pid}>"


class EmulatedHost(EmulatedNode):
    """An endpoint: the only nodes that `pingall` pings."""


class EmulatedRouter(EmulatedNode):
    """A terminal, satellite, gateway, PoP or edge router: a switch to Mininet, a Linux router in truth."""

    forwards = True
    portBase = 1

    def start(self, _controllers: list[Any]) -> None:
        self.emulation.start()

    def stop(self, deleteIntfs: bool = True) -> None:  # noqa: ARG002 - Mininet's signature; the namespace takes them along
        self.emulation.stop()

    def connected(self) -> bool:
        return True


class EmulatedIntf(Intf):
    """An interface that netlink made; the plan gives it its addresses."""

    node: EmulatedNode
    addresses: tuple[links.Address, links.Address]  # IPv4, IPv6; the wiring gives them
    link_local: links.Address | None = None  # with FRR
    dark = False  # by hand
    _shaped = False  # by TCLink's words

    @property
    def index(self) -> int:
        """The kernel's interface index in the node's namespace."""
        return self.node.indices[self.name]

    def config(self, **params: Any) -> dict[str, Any]:
        """TCLink's words (`shaping`), on a link that a person has added; a plan's link is the plan's.

        Said again they replace all that was said before, and what waits in the queues is lost.
        """
        if not params.keys() & (shaping.NAMES | shaping.NOT_HERE):
            return {}
        what = f"{self.name} of {self.node.name}"
        if hasattr(self, "addresses"):
            raise InputError(
                f"{what}: its delay is the plan's: change it with 'testbed event', or set up a link beside"
            )
        impairment, bottleneck = shaping.shape(what, params)
        again = [queues.remove(self.index, what)] if self._shaped else []
        self.node.tell([*again, *queues.build(self.index, impairment, bottleneck, what)])
        self._shaped = True
        if self.node.emulation.started:
            self.node.emulation.settle()
        return params

    def ifconfig(self, *args: str) -> str | None:
        """Mininet's `configLinkStatus` and `link a b down` come here.

        The interface stays up and takes nothing in: down in earnest it would lose its routes, and refuse the plan's.
        """
        if args not in (("up",), ("down",)):
            said: str | None = super().ifconfig(*args)
            return said
        if self.dark != (args == ("down",)):
            what = f"{self.name} of {self.node.name}"
            if self.dark:
                self.node.tell([filters.relight(self.index, what, by_hand=True)])
            else:
                self.node.tell([filters.ingress(self.index, what), filters.darken(self.index, what, by_hand=True)])
            self.node.emulation.settle()
            self.dark = not self.dark
        return ""

    def isUp(self, setUp: bool = False) -> bool:
        if setUp:
            self.ifconfig("up")
        return not self.dark

    def delete(self) -> None:
        self.node.delIntf(self)
        self.link = None


class EmulatedLink(Link):
    """A veth pair made over netlink, each end at once in its own namespace; by hand with TCLink's words, if need be."""

    def __init__(self, node1: EmulatedNode, node2: EmulatedNode, **params: Any) -> None:
        shape = {name: params.pop(name) for name in (shaping.NAMES | shaping.NOT_HERE) & params.keys()}
        super().__init__(node1, node2, **(params | {"intf": EmulatedIntf}))
        if node1.emulation.started:
            node1.emulation.settle()
        for interface in (self.intf1, self.intf2):  # once both are up: a queue works at once if its end has carrier
            interface.config(**shape)

    @classmethod
    def makeIntfPair(
        cls,
        intfname1: str,
        intfname2: str,
        addr1: str,
        addr2: str,
        node1: EmulatedNode,
        node2: EmulatedNode,
        deleteIntfs: bool = True,  # noqa: ARG003 - Mininet's signature
    ) -> None:
        indices = node1.new_interface(intfname1), node2.new_interface(intfname2)
        pair = links.veth(
            names=(intfname1, intfname2),
            indices=indices,
            macs=(bytes.fromhex(addr1.replace(":", "")), bytes.fromhex(addr2.replace(":", ""))),
            namespaces=(node1.namespace.fd, node2.namespace.fd),
            mtu=MTU_BYTES,
        )
        node1.emulation.join(pair)
        for node, index in zip((node1, node2), indices, strict=True):
            node.tell([links.set_up(index)])

    def delete(self) -> None:
        self.intf1.node.tell([links.delete(self.intf1.index)])
        self.intf1.node.emulation.settle()
        super().delete()

    def stop(self) -> None:
        """Nothing: the interfaces go with their namespaces."""
