"""A session: flows between protected hosts, sent, judged and measured over the sockets that the caller opened.

One loop does it all, in one thread: packets leave at absolute times, and between them the taps and the stamps are
emptied in batches. On a slow core this keeps better time than threads that wait for each other's interpreter lock.
"""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np

from traffic.clear import ClearEndpoint, ClearSocket
from traffic.errors import ConfigurationError, SessionError
from traffic.esp import AES_256_GCM
from traffic.flows import Flow
from traffic.keying import KeyedSocket, Keying, Wiring, make_terms
from traffic.keys import Association, make_associations, replace_keys, save_keys
from traffic.lint import Protection, check, check_socket
from traffic.packets import CANARY_BYTES, INNER_PORT, NAT_T_PORT, InnerFlow
from traffic.profiles import MANUAL, find_profile
from traffic.receiver import Receiver
from traffic.rekey import Terms
from traffic.relay import Leg, Relay
from traffic.sender import Announcement, FlowState, SecureSocket, Sender
from traffic.summary import summarise
from traffic.timestamps import clock_offset_ns, deafen
from traffic.verdicts import Content, InboundEndpoint

Generator = Literal["struct", "scapy"]

Encryption = Literal["overlay", "operator", "both"]
"""Whose it is: the hosts' own (overlay), the operator's alone, under which the hosts send in the clear, or both."""

Progress = Callable[[Mapping[str, int]], None]
"""Called about once a second with {"time_ns", "sent", "arrived", "alarms"}; time_ns is schedule time."""

WAITING_TIME_NS: Final = 1_500_000_000
"""A packet that has not arrived this long after the last one left is lost (RFC 7680, 2.6)."""

_NS_PER_S: Final = 1_000_000_000
_DRAIN_INTERVAL_NS: Final = 20_000_000  # how long arrivals wait at most while there is nothing to send


@dataclass(frozen=True)
class HostSockets:
    """A protected host. `address`: outer IPv4; `inner`: inside ESP, IPv4 or IPv6; `inside`: behind a NAT.

    `udp`: `open_udp(address, options.port, tx_stamps=True, no_checksum=not options.clear)`, fresh; `tap`:
    `open_tap(interface)`.
    """

    name: str
    address: str
    inner: str
    inside: bool
    udp: socket.socket
    tap: socket.socket


@dataclass(frozen=True)
class SessionOptions:
    """How a session protects and sends. `clear_udp_ports`: of probes, which may arrive unencrypted.

    `hub`: the host that relays between two that are both behind a NAT; '': none does. `profile`: where keys come from,
    'manual' or a key exchange of traffic.profiles; the rest is for the latter, see `traffic.keying.make_terms`. Raises
    ConfigurationError.
    """

    esn: bool = True
    window: int = 1024
    generator: Generator = "struct"
    suite: str = AES_256_GCM
    clear_udp_ports: tuple[int, ...] = ()
    profile: str = MANUAL
    rekey_s: float = 3600.0
    expire_s: float = 0.0
    rekey_packets: int = 1 << 31
    encryption: Encryption = "overlay"
    hub: str = ""
    longest_delay_s: float = 1.0  # assumption: a queue of 0.2 s, and the way over a geostationary satellite or a cable

    def __post_init__(self) -> None:
        check(Protection(self.suite, window=self.window))
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
    exchange; flows.json and flows.npy at the end. Returns WAITING_TIME_NS after `stop_ns`. `canaries`: of
    `make_canaries`, where others must know them too. Raises SessionError, ConfigurationError.
    """
    _check_hosts(flows, hosts, options.hub)
    plan = _Plan(flows, options, hosts, make_canaries(flows) if canaries is None else canaries)
    save_keys(plan.associations.values() if options.profile == MANUAL and not options.clear else (), folder)
    for host in hosts.values():
        deafen(host.udp)
    clock = _Clock(start_realtime_ns)
    receiver = plan.receiver(start_realtime_ns)
    sender = plan.sender(clock.now_ns(), stop_ns)
    keying = plan.keying(sender, receiver, clock)
    receiver.flush()
    relay = plan.relay(sender)
    try:
        _loop(sender, receiver, keying, relay, clock, stop_ns + WAITING_TIME_NS, progress)
    finally:
        if keying is not None:
            replace_keys(keying.associations(), folder)
    receiver.add_up()
    measured = sender, receiver, plan.associations, clock.step_ns(), WAITING_TIME_NS
    document, rows = summarise(*measured, legs=plan.legs, protected=not options.clear)
    if keying is not None:
        document["key_exchange"] = keying.document()
    np.save(folder / "flows.npy", rows)
    (folder / "flows.json").write_text(json.dumps(document, indent=1) + "\n")


class _Clock:
    """Schedule time on CLOCK_REALTIME, the clock of the kernel's stamps; it notices if that clock is set."""

    def __init__(self, start_realtime_ns: int) -> None:
        self.start_realtime_ns = start_realtime_ns
        self._offset_ns = clock_offset_ns()

    def now_ns(self) -> int:
        return time.time_ns() - self.start_realtime_ns

    def step_ns(self) -> int:
        """How far CLOCK_REALTIME has moved against CLOCK_MONOTONIC since the beginning."""
        return abs(clock_offset_ns() - self._offset_ns)


def _loop(
    sender: Sender,
    receiver: Receiver,
    keying: Keying | None,
    relay: Relay | None,
    clock: _Clock,
    end_ns: int,
    progress: Progress | None,
) -> None:
    """Send what is due; else empty taps and stamps if there is time or it is high time; else sleep.

    A hub's arrivals do not wait: they are to go on.
    """
    now_ns = clock.now_ns()
    drained_ns = reported_ns = now_ns
    while now_ns < end_ns:
        due_ns = sender.next_ns
        if due_ns is not None and due_ns <= now_ns:
            sender.send_next()
        if now_ns - drained_ns >= _DRAIN_INTERVAL_NS:
            sender.collect_stamps(clock.start_realtime_ns)
            if not receiver.drain():
                drained_ns = now_ns
            if keying is not None:
                keying.poll()
        elif due_ns is None or due_ns > now_ns:
            wake_ns = min(drained_ns + _DRAIN_INTERVAL_NS, end_ns if due_ns is None else due_ns)
            pause_s = max(wake_ns - now_ns, 0) / _NS_PER_S
            if relay is None:
                time.sleep(pause_s)
            elif relay.wait(pause_s):
                receiver.drain()
        if progress is not None and now_ns - reported_ns >= _NS_PER_S:
            reported_ns = now_ns
            progress(
                {
                    "time_ns": now_ns,
                    "sent": sum(len(state.tx_ns) for state in sender.flows),
                    "arrived": len(receiver.arrivals) // 4,
                    "alarms": receiver.alarm_count,
                }
            )
        now_ns = clock.now_ns()
    sender.collect_stamps(clock.start_realtime_ns)
    receiver.finish()


def _check_hosts(flows: Sequence[Flow], hosts: Mapping[str, HostSockets], hub: str) -> None:
    if hub and (hub not in hosts or hosts[hub].inside):
        raise SessionError(f"hub '{hub}': it must be a host with sockets, and outside the NAT")
    for host in hosts.values():
        check_socket(host.tap)
    for flow in flows:
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
        self._peers = {
            (flow.src, flow.dst): (hosts[legs[0][1]].address, options.port)
            for flow, legs in zip(flows, self.legs, strict=True)
            if hosts[flow.src].inside or not hosts[flow.dst].inside
        }
        self._peers |= {pair: (hosts[pair[1]].address, options.port) for pair in self._announcing}

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
            )
            for name in self._hosts
        }
        return Receiver(self._endpoints, taps, senders, self._peers, start_realtime_ns, passing)

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
        elif self._options.generator == "scapy":
            make = _scapy_socket
        elif self._options.profile != MANUAL:
            make = KeyedSocket
        secure = self._secure = {key: make(sockets[sa.src], sa) for key, sa in self.associations.items()}
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

    def keying(self, sender: Sender, receiver: Receiver, clock: _Clock) -> Keying | None:
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
        has_rtp = self._flows[index].rtp_interval is not None
        return Content(index, self.associations[leg].spi, self._canaries[index], has_rtp)

    def _inner(self, index: int) -> InnerFlow:
        flow = self._flows[index]
        source, destination = self._hosts[flow.src].inner, self._hosts[flow.dst].inner
        payload, rtp, ssrc = flow.payload_bytes, flow.rtp_interval, secrets.randbits(32)
        return InnerFlow(source, destination, flow.dscp, index, self._canaries[index], payload, rtp, ssrc)


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _scapy_socket(sock: socket.socket, association: Association) -> SecureSocket:
    from traffic.scapy_generator import ScapySocket  # here, because importing Scapy takes seconds on a slow core

    return ScapySocket(sock, association)
