"""A session: flows between protected hosts, sent, judged and measured over the sockets that the caller opened.

One loop does it all, in one thread: packets leave at absolute times, and between them the taps and the stamps are
emptied in batches. On a slow core this keeps better time than threads that wait for each other's interpreter lock.
"""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np

from traffic import pacing
from traffic.clear import ClearEndpoint, ClearSocket
from traffic.duplication import TwofoldSocket
from traffic.errors import ConfigurationError, SessionError
from traffic.esp import AES_256_GCM
from traffic.flows import Flow
from traffic.insider import Insider
from traffic.keying import KeyedSocket, Keying, Wiring, make_terms
from traffic.keys import Association, make_associations, replace_keys, save_keys
from traffic.lint import Protection, check, check_socket
from traffic.pacing import Clock
from traffic.packets import CANARY_BYTES, INNER_PORT, NAT_T_PORT, InnerFlow
from traffic.profiles import MANUAL, find_profile
from traffic.receiver import Receiver
from traffic.rekey import Terms
from traffic.relay import Leg, Relay
from traffic.replay import Copies
from traffic.sender import Announcement, FlowState, SecureSocket, Sender
from traffic.srtp import Opener, Sealer, make_call_keys, save_call_keys
from traffic.summary import summarise
from traffic.timestamps import deafen
from traffic.verdicts import Content, InboundEndpoint

Generator = Literal["struct", "scapy"]

Encryption = Literal["overlay", "operator", "both"]
"""Whose it is: the hosts' own (overlay), the operator's alone, under which the hosts send in the clear, or both."""

Progress = Callable[[Mapping[str, Any]], None]
"""Called about once a second with {"time_ns", "sent", "arrived", "alarms", "flows"}; time_ns is schedule time, flows
has (sent, arrived intact, alarms that name it) of each."""

WAITING_TIME_NS: Final = 1_500_000_000
"""A packet that has not arrived this long after the last one left is lost (RFC 7680, 2.6)."""

_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True)
class HostSockets:
    """A protected host. `address`: outer IPv4; `inner`: inside ESP, IPv4 or IPv6; `inside`: behind a NAT.

    `second`, `other`: where packets come over two paths, another socket and the address that it is bound to, where
    second copies arrive: `open_udp(other, options.port, no_checksum=not options.clear)`.
    `udp`: `open_udp(address, options.port, tx_stamps=True, no_checksum=not options.clear)`, fresh; `tap`:
    `open_tap(interface)`.
    """

    name: str
    address: str
    inner: str
    inside: bool
    udp: socket.socket
    tap: socket.socket
    second: socket.socket | None = None
    other: str = ""


@dataclass(frozen=True)
class SessionOptions:
    """How a session protects and sends. `clear_udp_ports`: of probes, which may arrive unencrypted; `clear_tcp_ports`:
    of services over TCP beside the session.

    `longest_lag_ns`: by how much a copy that a link makes can come after the first; `duplicates`: with what
    probability links make one. Where they make none, every copy is a replay.
    `duplicated`: DSCPs of what is sent over two paths (traffic.duplication).
    `hub`: the host that relays between two that are both behind a NAT; '': none does. `profile`: where keys come from,
    'manual' or a key exchange of traffic.profiles; the rest is for the latter, see `traffic.keying.make_terms`. Raises
    ConfigurationError.
    """

    esn: bool = True
    window: int = 1024
    generator: Generator = "struct"
    suite: str = AES_256_GCM
    clear_udp_ports: tuple[int, ...] = ()
    clear_tcp_ports: tuple[int, ...] = ()
    profile: str = MANUAL
    rekey_s: float = 3600.0
    expire_s: float = 0.0
    rekey_packets: int = 1 << 31
    encryption: Encryption = "overlay"
    hub: str = ""
    longest_lag_ns: int | None = None
    duplicates: float = 0.0
    duplicated: tuple[int, ...] = ()
    longest_delay_s: float = 1.0  # assumption: a queue of 0.2 s, and the way over a geostationary satellite or a cable
    insider: str = ""  # of traffic.insider: how all senders misbehave, one packet in `insider_every`
    insider_every: int = 64

    def __post_init__(self) -> None:
        check(Protection(self.suite, window=self.window))
        if not 0 <= self.duplicates < 1:
            raise ConfigurationError(f"a probability of copies of {self.duplicates} is refused: use 0 up to below 1")
        if self.generator not in get_args(Generator):
            raise ConfigurationError(f"generator '{self.generator}' is unknown: use {' or '.join(get_args(Generator))}")
        if self.encryption not in get_args(Encryption):
            known = " or ".join(get_args(Encryption))
            raise ConfigurationError(f"encryption '{self.encryption}' is unknown: use {known}")
        if self.clear and (self.profile != MANUAL or self.generator == "scapy"):
            raise ConfigurationError(
                "encryption=operator has hosts that send in the clear: use profile manual and generator struct"
            )
        if self.profile != MANUAL:
            find_profile(self.profile, self.suite)
            self.terms()
            if self.generator == "scapy":
                raise ConfigurationError(f"profile {self.profile} with generator scapy is refused: use struct")
        if self.duplicated and (self.clear or self.insider or self.profile != MANUAL or self.generator == "scapy"):
            raise ConfigurationError(
                f"copies over a second path are refused: use encryption overlay, profile {MANUAL}, generator struct "
                "and no insider"
            )
        if self.insider and (self.profile != MANUAL or self.generator == "scapy"):
            raise ConfigurationError(f"insider {self.insider} is refused: use profile {MANUAL} and generator struct")

    @property
    def clear(self) -> bool:
        """Whether the hosts themselves encrypt nothing."""
        return self.encryption == "operator"

    @property
    def port(self) -> int:
        """The hosts' UDP port."""
        return INNER_PORT if self.clear else NAT_T_PORT

    def terms(self) -> Terms:
        """How keys live that come by exchange."""
        lives = (self.rekey_s, self.expire_s, self.rekey_packets)
        return make_terms(*lives, self.longest_delay_s, self.window)


def make_canaries(flows: Sequence[Flow]) -> list[bytes]:
    """Random bytes for each flow, which stand in all its packets: whoever sees them reads its payload."""
    return [secrets.token_bytes(CANARY_BYTES) for _ in flows]


def run_session(
    flows: Sequence[Flow],
    options: SessionOptions,
    hosts: Mapping[str, HostSockets],
    start_realtime_ns: int,
    stop_ns: int,
    folder: Path,
    progress: Progress | None = None,
    canaries: Sequence[bytes] | None = None,
) -> None:
    """Run the flows until schedule time `stop_ns`, wait for stragglers, write the results into `folder`.

    `start_realtime_ns`: CLOCK_REALTIME of schedule time 0; call some seconds before it, so that hosts behind a NAT
    can announce themselves and exchange keys. Written: keys.json and esp_sa at once, or at the end if the keys come by
    exchange, srtp_keys.json if a call has SRTP; flows.json, flows.npy and alarms.npy at the end. Returns
    WAITING_TIME_NS after `stop_ns`. `canaries`: of `make_canaries`, where others must know them too. Raises
    SessionError, ConfigurationError.
    """
    _check_hosts(flows, hosts, options.hub, clear=options.clear)
    plan = _Plan(flows, options, hosts, make_canaries(flows) if canaries is None else canaries)
    if options.insider:
        sockets = [host.udp for host in hosts.values()]
        plan.insider = Insider(options.insider, options.insider_every, folder / "adversary.jsonl", sockets)
    save_keys(plan.associations.values() if options.profile == MANUAL and not options.clear else (), folder)
    if plan.calls:
        save_call_keys(plan.calls, folder)
    for host in hosts.values():
        deafen(host.udp)
        if host.second is not None:
            deafen(host.second)
    clock = Clock(start_realtime_ns)
    receiver = plan.receiver(start_realtime_ns)
    sender = plan.sender(clock.now_ns(), stop_ns)
    keying = plan.keying(sender, receiver, clock)
    receiver.flush()
    relay = plan.relay(sender)
    try:
        pacing.run(sender, receiver, keying, relay, clock, stop_ns + WAITING_TIME_NS, progress)
    finally:
        if keying is not None:
            replace_keys(keying.associations(), folder)
    receiver.add_up()
    measured = sender, receiver, plan.associations, clock.step_ns(), WAITING_TIME_NS
    document, rows = summarise(*measured, legs=plan.legs, protected=not options.clear)
    if keying is not None:
        document["key_exchange"] = keying.document()
    np.save(folder / "flows.npy", rows)
    np.save(folder / "alarms.npy", receiver.alarm_rows())
    (folder / "flows.json").write_text(json.dumps(document, indent=1) + "\n")


def _check_hosts(flows: Sequence[Flow], hosts: Mapping[str, HostSockets], hub: str, *, clear: bool) -> None:
    if hub and (hub not in hosts or hosts[hub].inside):
        raise SessionError(f"hub '{hub}': it must be a host with sockets, and outside the NAT")
    for host in hosts.values():
        check_socket(host.tap)
    for flow in flows:
        if clear and (flow.srtp or flow.templates):
            raise SessionError(
                f"flow '{flow.name}': SRTP and packet templates are for hosts that encrypt: leave them out"
            )
        for name in (flow.src, flow.dst):
            if name not in hosts:
                raise SessionError(f"flow '{flow.name}': no sockets were handed over for host '{name}'")
        if (":" in hosts[flow.src].inner) != (":" in hosts[flow.dst].inner):
            raise SessionError(f"flow '{flow.name}': the inner addresses of its hosts are IPv4 and IPv6: use one")


class _Plan:
    """Who holds which keys, canaries and addresses in this session."""

    def __init__(
        self,
        flows: Sequence[Flow],
        options: SessionOptions,
        hosts: Mapping[str, HostSockets],
        canaries: Sequence[bytes],
    ) -> None:
        self._flows = flows
        self._options = options
        self._hosts = hosts
        self.legs = [self._legs(flow) for flow in flows]
        every = [leg for legs in self.legs for leg in legs]
        self._announcing = sorted(
            {
                (inner, outer)
                for source, destination, _ in every
                for inner, outer in ((source, destination), (destination, source))
                if hosts[inner].inside and not hosts[outer].inside
            }
        )
        classes = list(every)
        # Any association serves to announce a host; where flows only come towards it, one of its own is needed.
        classes += [(*pair, 0) for pair in self._announcing if not any(known[:2] == pair for known in classes)]
        self.associations = make_associations(classes, esn=options.esn, window=options.window, suite=options.suite)
        self._canaries = canaries
        self.calls = make_call_keys(index for index, flow in enumerate(flows) if flow.srtp)
        self._peers = {
            (flow.src, flow.dst): (hosts[legs[0][1]].address, options.port)
            for flow, legs in zip(flows, self.legs, strict=True)
            if hosts[flow.src].inside or not hosts[flow.dst].inside
        }
        self._peers |= {pair: (hosts[pair[1]].address, options.port) for pair in self._announcing}

        self.insider: Insider | None = None
        self._endpoints: Mapping[str, InboundEndpoint | ClearEndpoint] = {}
        self._secure: dict[Leg, SecureSocket] = {}

    def _legs(self, flow: Flow) -> list[Leg]:
        """The associations of a flow in their order: one from host to host, or two by way of the hub."""
        ends, hub = (flow.src, flow.dst), self._options.hub
        if not hub or hub in ends or not all(self._hosts[name].inside for name in ends):
            return [(*ends, flow.dscp)]
        return [(flow.src, hub, flow.dscp), (hub, flow.dst, flow.dscp)]

    def relay(self, sender: Sender) -> Relay | None:
        """The hub at work; None if no flow needs it."""
        onward = {index: legs[1] for index, legs in enumerate(self.legs) if len(legs) > 1}
        if not onward:
            return None
        hub = self._options.hub
        relay = Relay(onward, self._secure, self._peers, sender, self._hosts[hub].tap)
        self._endpoints[hub].delivered = relay.forward
        return relay

    def receiver(self, start_realtime_ns: int) -> Receiver:
        """All hosts' receiving halves."""
        taps = {name: host.tap for name, host in self._hosts.items()}
        senders = {sa.spi: sa.src for sa in self.associations.values()}
        passing = frozenset((legs[0][1], index) for index, legs in enumerate(self.legs) if len(legs) > 1)
        if self._options.clear:
            self._endpoints = {name: ClearEndpoint(*self._expected(name)) for name in self._hosts}
            return Receiver(self._endpoints, taps, senders, self._peers, start_realtime_ns, passing)
        self._endpoints = {
            name: InboundEndpoint(
                {sa.spi: sa.inbound() for sa in self._expected(name)[0]},
                self._expected(name)[1],
                {_packed(host.inner) for host in self._hosts.values()},
                self._options.clear_udp_ports,
                self._options.clear_tcp_ports,
                longest_lag_ns=self._options.longest_lag_ns if self._options.duplicates else None,
                copies={sa.spi: self._copies(name) for sa in self._expected(name)[0] if self._is_twofold(sa)},
            )
            for name in self._hosts
        }
        return Receiver(self._endpoints, taps, senders, self._peers, start_realtime_ns, passing)

    def _is_twofold(self, association: Association) -> bool:
        """Whether its packets go over two paths."""
        ends = self._hosts[association.src], self._hosts[association.dst]
        return association.dscp in self._options.duplicated and all(host.second is not None for host in ends)

    def _copies(self, host: str) -> Copies:
        addresses = self._hosts[host].address, self._hosts[host].other
        return Copies([_packed(address) for address in addresses], self._options.window)

    def _socket(self, association: Association) -> SecureSocket:
        """Of an association whose packets go over two paths."""
        source, destination = self._hosts[association.src], self._hosts[association.dst]
        assert source.second is not None
        return TwofoldSocket(source.udp, association, source.second, (destination.other, self._options.port))

    def _expected(self, host: str) -> tuple[list[Association], list[Content]]:
        """The associations that end at a host, and the content of its flows."""
        ending = [(index, leg) for index, legs in enumerate(self.legs) for leg in legs if leg[1] == host]
        associations = [sa for sa in self.associations.values() if sa.dst == host]
        return associations, [self._content(index, leg) for index, leg in ending]

    def sender(self, begin_ns: int, stop_ns: int) -> Sender:
        """All hosts' sending halves."""
        sockets = {name: host.udp for name, host in self._hosts.items()}
        make: Callable[[socket.socket, Association], SecureSocket] = SecureSocket
        if self._options.clear:
            make = ClearSocket
        elif self.insider is not None:
            make = self.insider.socket
        elif self._options.generator == "scapy":
            make = _scapy_socket
        elif self._options.profile != MANUAL:
            make = KeyedSocket
        secure = self._secure = {
            key: self._socket(sa) if self._is_twofold(sa) else make(sockets[sa.src], sa)
            for key, sa in self.associations.items()
        }
        states = []
        for index, flow in enumerate(self._flows):
            sock = secure[self.legs[index][0]]
            transmit = sock.packets_of(self._inner(index))
            states.append(FlowState(flow, min(flow.stop_ns, stop_ns), transmit, sock.ready))
        announcements = []
        for pair in self._announcing:
            sock = next(secure[key] for key in secure if key[:2] == pair)
            announcements.append(Announcement(*pair, sock.dummies(), sock.ready))
        return Sender(states, announcements, sockets, self._peers, begin_ns)

    def keying(self, sender: Sender, receiver: Receiver, clock: Clock) -> Keying | None:
        """Everybody's keys, if they come by exchange; the first exchanges begin when it is first polled."""
        if self._options.profile == MANUAL:
            return None
        wiring = Wiring(
            names=self.associations,
            sockets={key: sock for key, sock in self._secure.items() if isinstance(sock, KeyedSocket)},
            udp={name: host.udp for name, host in self._hosts.items()},
            endpoints={name: judge for name, judge in self._endpoints.items() if isinstance(judge, InboundEndpoint)},
            addresses={name: host.address for name, host in self._hosts.items()},
            inside=frozenset(name for name, host in self._hosts.items() if host.inside),
            receiver=receiver,
            sender=sender,
            peers=self._peers,
            clock=clock,
            start_realtime_ns=clock.start_realtime_ns,
        )
        return Keying(find_profile(self._options.profile, self._options.suite), self._options.terms(), wiring)

    def _content(self, index: int, leg: Leg) -> Content:
        flow, canary = self._flows[index], self._canaries[index]
        spi, interval = self.associations[leg].spi, flow.rtp_interval
        if index not in self.calls or interval is None:
            return Content(index, spi, canary, interval is not None, trails=flow.kind == "packet")
        call = self.calls[index]
        opener = Opener(call, index, canary, interval, self._options.window)
        return Content(index, spi, canary, True, call.ssrc.to_bytes(4, "big"), opener)

    def _inner(self, index: int) -> InnerFlow:
        flow, call = self._flows[index], self.calls.get(index)
        source, destination = self._hosts[flow.src].inner, self._hosts[flow.dst].inner
        ssrc = secrets.randbits(32) if call is None else call.ssrc
        common = source, destination, flow.dscp, index, self._canaries[index], flow.payload_bytes, flow.rtp_interval
        return InnerFlow(*common, ssrc, flow.body, None if call is None else Sealer(call), flow.templates)


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _scapy_socket(sock: socket.socket, association: Association) -> SecureSocket:
    from traffic.scapy_generator import ScapySocket  # here, because importing Scapy takes seconds on a slow core

    return ScapySocket(sock, association)
