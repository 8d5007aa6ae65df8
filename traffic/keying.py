"""Keys by exchange in a session: every host's ends of its pairs, tied to the sockets, the verdicts and the results.

Each host learns from the network alone: both ends live in one process, but what passes between them is datagrams on
UDP port 4500, through the same queues, NAT and attackers as the data.
"""

from __future__ import annotations

import secrets
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from traffic.errors import ConfigurationError, KeyExchangeError
from traffic.esp import SMALLEST_SPI
from traffic.kexwire import Assembler
from traffic.keyexchange import Child, Clock, Party, Timing
from traffic.keys import Association
from traffic.packets import NAT_T_PORT
from traffic.profiles import Identity, Profile
from traffic.receiver import Receiver
from traffic.rekey import CountingInboundSa, Lifetime, LimitedOutboundSa, PairEnd, Terms
from traffic.results import percentiles_ms
from traffic.sender import SecureSocket, Sender
from traffic.verdicts import InboundEndpoint, Verdict

Class = tuple[str, str, int]
"""(source, destination, DSCP)"""

NETWORK_CONTROL: Final = 48
"""DSCP of the exchange: CS6 (RFC 4594, 3.2), so that no overload of data keeps keys from being renewed."""
SHORTEST_EXCHANGE_NS: Final = 3_200_000_000
"""Between soft and hard lifetime: two attempts and the pause, the first repetition after 100 ms. One of them takes
1.5 s at most, two round trips over a geostationary satellite take 1.2 s."""

_ATTEMPT_UNITS: Final = 32  # of the first repetition's time, from soft to hard: two attempts of 15 and a pause of 1
_LONGEST_REPETITION_NS: Final = 1_000_000_000
_POLL_NS: Final = 20_000_000
_NS_PER_S: Final = 1_000_000_000
_TOS: Final = [(socket.IPPROTO_IP, socket.IP_TOS, struct.pack("=i", NETWORK_CONTROL << 2))]


def make_terms(rekey_s: float, expire_s: float, rekey_packets: int, longest_delay_s: float, window: int) -> Terms:
    """How keys live: renewed after `rekey_s` or `rekey_packets`, dead after `expire_s` or twice the packets.

    `expire_s` 0: half as much again, but 30 s at least. `longest_delay_s`: largest less smallest one-way delay; a
    second more is the grace of the old association. Raises ConfigurationError.
    """
    soft_ns = round(rekey_s * _NS_PER_S)
    hard_ns = round((expire_s or rekey_s + max(rekey_s / 2, 30)) * _NS_PER_S)
    if soft_ns <= 0 or hard_ns - soft_ns < SHORTEST_EXCHANGE_NS:
        raise ConfigurationError(
            f"rekey_s {rekey_s:g} with expire_s {expire_s:g} is refused: leave {SHORTEST_EXCHANGE_NS / 1e9:g} s between"
        )
    if not 0 <= longest_delay_s * _NS_PER_S <= hard_ns:
        raise ConfigurationError(
            f"longest_delay_s {longest_delay_s:g} is refused: use 0 to the hard lifetime, {hard_ns / _NS_PER_S:g}"
        )
    largest = Lifetime(soft_ns, hard_ns)
    if not 0 < rekey_packets <= largest.soft_packets:
        raise ConfigurationError(f"rekey_packets {rekey_packets} is refused: use 1 to {largest.soft_packets}")
    lifetime = replace(largest, soft_packets=rekey_packets, hard_packets=min(2 * rekey_packets, largest.hard_packets))
    first_ns = min((hard_ns - soft_ns) // _ATTEMPT_UNITS, _LONGEST_REPETITION_NS)
    return Terms(lifetime, round((longest_delay_s + 1) * _NS_PER_S), window, Timing(first_ns))


class KeyedSocket(SecureSocket):
    """As SecureSocket, but with no association until an exchange brings one, and with another after each rekey."""

    def __init__(self, sock: socket.socket, name: Association) -> None:
        super().__init__(sock, name)
        self._limited: LimitedOutboundSa | None = None

    def switch(self, association: LimitedOutboundSa) -> None:
        """Send under it from now on."""
        self._sa = self._limited = association

    def ready(self) -> bool:
        """Whether there is an association within its lifetime."""
        return self._limited is not None and self._limited.ended() is None


@dataclass
class Record:
    """An association as the results tell of it; times are schedule times in ns."""

    association: Association
    inbound: CountingInboundSa
    installed_ns: int
    outbound: LimitedOutboundSa | None = None
    switched_ns: int | None = None
    retired_ns: int | None = None


@dataclass(frozen=True)
class Wiring:
    """What a session hands over. `names`: an association of each class that never goes on the wire, its name only."""

    names: Mapping[Class, Association]
    sockets: Mapping[Class, KeyedSocket]
    udp: Mapping[str, socket.socket]
    endpoints: Mapping[str, InboundEndpoint]
    addresses: Mapping[str, str]  # outer
    inside: frozenset[str]
    receiver: Receiver
    sender: Sender
    peers: Mapping[tuple[str, str], tuple[str, int]]
    clock: Clock
    start_realtime_ns: int


class Keying:
    """Everybody's keys. Call `poll` in the session's loop; datagrams come by the endpoints."""

    def __init__(self, profile: Profile, terms: Terms, wiring: Wiring) -> None:
        self.records: dict[int, Record] = {}  # by SPI
        self._profile, self._terms, self._wiring = profile, terms, wiring
        self._used = {name.spi for name in wiring.names.values()}
        self._polled_ns = wiring.clock.now_ns() - _POLL_NS
        for name in wiring.names.values():
            wiring.endpoints[name.dst].retire(name.spi, 0)  # nobody sends under it
        hosts = sorted({host for source, destination, _ in wiring.names for host in (source, destination)})
        identities = {host: Identity(host, profile) for host in hosts}
        self._hosts = {host: _Host(host, self) for host in hosts}
        for host in hosts:
            wiring.endpoints[host].key_exchange = self._hosts[host].receive
        for pair in sorted({tuple(sorted(key[:2])) for key in wiring.names}):
            first = next((host for host in pair if host in wiring.inside), pair[0])
            for me, peer in (pair, pair[::-1]):
                party = self._party(identities[me], identities[peer])
                end = PairEnd(party, terms, me == first, _Path(self, me, peer), wiring.clock, self._draw_spi)
                self._hosts[me].ends.append(end)

    def poll(self) -> None:
        """Do what time demands, at most 50 times a second."""
        now_ns = self._wiring.clock.now_ns()
        if now_ns - self._polled_ns >= _POLL_NS:
            self._polled_ns = now_ns
            for host in self._hosts.values():
                host.poll()

    def send(self, host: str, datagram: bytes, address: tuple[str, int]) -> None:
        """Send a datagram of an exchange."""
        sock = self._wiring.udp[host]
        self._wiring.sender.send_apart(host, lambda: sock.sendmsg([datagram], _TOS, 0, address))

    def alarm(self, host: str, verdict: Verdict, detail: str) -> None:
        """Put it among the session's alarms."""
        self._wiring.receiver.raise_alarm(host, verdict, self._wiring.clock.now_ns(), detail)

    def address(self, host: str) -> tuple[str, int]:
        """Where an initiator finds `host`."""
        return self._wiring.addresses[host], NAT_T_PORT

    def associations(self) -> list[Association]:
        """All that were ever agreed, in order."""
        return [record.association for record in self.records.values()]

    def document(self) -> dict[str, Any]:
        """The part `key_exchange` of flows.json."""
        pairs = [self._pair(end) for host in self._hosts.values() for end in host.ends if end.initiates]
        return {
            "profile": self._profile.name,
            "exchange": "a teaching exchange of this project, not IKEv2",
            "rekeys": sum(max(pair["completed"] - 1, 0) for pair in pairs),
            "failed": sum(pair["failed"] for pair in pairs),
            "pairs": pairs,
            "associations": [_told(spi, record) for spi, record in self.records.items()],
            "not_sent_without_keys": {
                state.flow.name: state.unkeyed for state in self._wiring.sender.flows if state.unkeyed
            },
        }

    def _pair(self, end: PairEnd) -> dict[str, Any]:
        me, peer = end.party.identity.name, end.party.peer.name
        other = next(found for found in self._hosts[peer].ends if found.party.peer.name == me)
        durations = np.array(end.counts.durations_ns, np.int64)
        tried = max(end.counts.completed + end.counts.failed, 1)
        return {
            "initiator": me,
            "responder": peer,
            "completed": end.counts.completed,
            "failed": end.counts.failed,
            "refused_messages": end.counts.refused + other.counts.refused,
            "duration_ms": percentiles_ms(durations, (50, 95, 99)),
            "cpu_us_per_exchange": {
                end.party.identity.name: round(self._hosts[end.party.identity.name].cpu_ns.get(end, 0) / 1e3 / tried)
                for end in (end, other)
            },
        }

    def _party(self, me: Identity, peer: Identity) -> Party:
        names = self._wiring.names
        sends = frozenset(key[2] for key in names if key[:2] == (me.name, peer.name))
        receives = frozenset(key[2] for key in names if key[:2] == (peer.name, me.name))
        one = next(iter(names.values()))
        return Party(self._profile, one.suite, one.esn, me, peer.public, sends, receives)

    def _draw_spi(self) -> int:
        """The receiver draws; unlike in the world no two hosts draw the same, so that results can name it by SPI."""
        spi = 0
        while spi < SMALLEST_SPI or spi in self._used:
            spi = secrets.randbits(32)
        self._used.add(spi)
        return spi

    @property
    def wiring(self) -> Wiring:
        """What the session handed over."""
        return self._wiring


class _Host:
    """One host's ends, and the fragments that arrive for them."""

    def __init__(self, name: str, keying: Keying) -> None:
        self.ends: list[PairEnd] = []
        self.cpu_ns: dict[PairEnd, int] = {}
        self._name, self._keying = name, keying
        self._assembler = Assembler()

    def receive(self, datagram: bytes, source: tuple[bytes, int]) -> None:
        """Take a datagram that begins with the non-ESP marker."""
        if len(source[0]) != 4:
            return
        try:
            message = self._assembler.add(datagram)
            if message is None:
                return
            end = next((end for end in self.ends if end.owns(message)), None)
        except KeyExchangeError as error:
            self._keying.alarm(self._name, Verdict.KEX_FAIL, str(error))
            return
        if end is None:
            return  # of an exchange that is over, or made up
        replies = self._timed(end, lambda: end.receive(message))
        address = self._keying.address(end.party.peer.name) if end.initiates else (_dotted(source[0]), source[1])
        for reply in replies:
            for part in reply.datagrams():
                self._keying.send(self._name, part, address)

    def poll(self) -> None:
        """Send what time demands."""
        for end in self.ends:
            for message in self._timed(end, end.poll):
                for part in message.datagrams():
                    self._keying.send(self._name, part, self._keying.address(end.party.peer.name))

    def _timed(self, end: PairEnd, work: Callable[[], list[Any]]) -> list[Any]:
        began_ns = time.thread_time_ns()
        messages = work()
        if messages:  # looking at the clock in vain is no part of an exchange
            self.cpu_ns[end] = self.cpu_ns.get(end, 0) + time.thread_time_ns() - began_ns
        return messages


class _Path:
    """How an end reaches its host: `DataPath` of traffic.rekey."""

    def __init__(self, keying: Keying, me: str, peer: str) -> None:
        self._keying, self._me, self._peer = keying, me, peer

    def install(self, dscp: int, child: Child, association: CountingInboundSa) -> None:
        """Accept it, beside all others."""
        wiring = self._keying.wiring
        name = wiring.names[self._peer, self._me, dscp]
        wiring.endpoints[self._me].install(association, name.spi)
        wiring.receiver.admit(association.spi, name.spi)
        known = replace(name, spi=child.spi, key=child.key, salt=child.salt)
        self._keying.records[child.spi] = Record(known, association, wiring.clock.now_ns())

    def switch(self, dscp: int, association: LimitedOutboundSa) -> None:
        """Send under it from now on; a dummy shows the other end at once that it is in use."""
        wiring, pair = self._keying.wiring, (self._me, self._peer)
        sock = wiring.sockets[*pair, dscp]
        sock.switch(association)
        record = self._keying.records[association.spi]  # the other end installed it before
        record.outbound, record.switched_ns = association, wiring.clock.now_ns()
        if pair in wiring.peers:
            dummy, address = sock.dummies(), wiring.peers[pair]
            wiring.sender.send_apart(self._me, lambda: dummy(address, 0))

    def retire(self, association: CountingInboundSa, until_ns: int) -> None:
        """Accept it no more after that time."""
        wiring = self._keying.wiring
        wiring.endpoints[self._me].retire(association.spi, until_ns + wiring.start_realtime_ns)
        self._keying.records[association.spi].retired_ns = until_ns

    def alarm(self, verdict: Verdict, detail: str) -> None:
        """Put it among the session's alarms."""
        self._keying.alarm(self._me, verdict, detail)


def _dotted(address: bytes) -> str:
    return socket.inet_ntoa(address)


def _told(spi: int, record: Record) -> dict[str, Any]:
    association, outbound = record.association, record.outbound
    return {
        "spi": f"{spi:#010x}",
        "src": association.src,
        "dst": association.dst,
        "dscp": association.dscp,
        "installed_ns": record.installed_ns,
        "switched_ns": record.switched_ns,
        "retired_ns": record.retired_ns,
        "sent": 0 if outbound is None else outbound.sequence,
        "accepted": record.inbound.packets,
    }
