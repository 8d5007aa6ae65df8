"""Two hosts with data in both directions over a made-up link, in made-up time: what a rekey does to packets."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from exchange_fixture import MS, ManualClock, S, parties

from traffic.errors import KeyExchangeError
from traffic.kexwire import Assembler
from traffic.keyexchange import Child, Timing
from traffic.packets import NO_NEXT_HEADER
from traffic.rekey import CountingInboundSa, Lifetime, LimitedOutboundSa, PairEnd, Terms
from traffic.verdicts import Verdict

STEP_NS = 10 * MS
TERMS = Terms(Lifetime(2 * S, 6 * S), grace_ns=1_300 * MS, timing=Timing(100 * MS))

Harm = Callable[[bytes], list[tuple[int, bytes]]]
"""What becomes of a datagram of an exchange: (extra delay, bytes) of each copy that arrives."""


def unharmed(datagram: bytes) -> list[tuple[int, bytes]]:
    return [(0, datagram)]


class Host:
    """One end's data path: `DataPath` of traffic.rekey, with what arrives counted."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.installed: dict[int, CountingInboundSa] = {}
        self.until_ns: dict[int, int] = {}
        self.out: dict[int, LimitedOutboundSa] = {}
        self.alarms: list[tuple[int, Verdict, str]] = []
        self.assembler = Assembler()
        self.sent = self.accepted = self.unkeyed = 0
        self.refused: Counter[str] = Counter()
        self.dummies: list[LimitedOutboundSa] = []
        self.talks = True
        self.end: PairEnd

    def install(self, dscp: int, child: Child, association: CountingInboundSa) -> None:
        assert child.spi == association.spi not in self.installed
        self.installed[association.spi] = association

    def switch(self, dscp: int, association: LimitedOutboundSa) -> None:
        self.out[dscp] = association
        self.dummies.append(association)

    def retire(self, association: CountingInboundSa, until_ns: int) -> None:
        assert association.spi not in self.until_ns
        self.until_ns[association.spi] = until_ns

    def alarm(self, verdict: Verdict, detail: str) -> None:
        self.alarms.append((self.clock.time_ns, verdict, detail))

    def names(self) -> set[str]:
        return {verdict.name for _, verdict, _ in self.alarms}

    def packets(self) -> list[bytes]:
        """What the host sends in one step: one packet per class, as far as it has keys; dummies first."""
        packets = [association.encrypt(bytes(16), NO_NEXT_HEADER) for association in self.dummies]
        self.dummies.clear()
        for dscp in (0, 46) if self.talks else ():
            association = self.out.get(dscp)
            if association is None or association.ended() is not None:
                self.unkeyed += 1
            else:
                packets.append(association.encrypt(bytes(40)))
        self.sent += len(packets)
        return packets

    def take(self, packet: bytes) -> None:
        """Accept or refuse an ESP packet."""
        spi = int.from_bytes(packet[:4], "big")
        association = self.installed.get(spi)
        if association is None:
            self.refused["UNKNOWN_SPI"] += 1
        elif self.until_ns.get(spi, self.clock.time_ns) < self.clock.time_ns:
            self.refused["EXPIRED_SA"] += 1
        elif association.deliver(packet) is None:
            self.refused["not new or not authentic"] += 1
        else:
            self.accepted += 1


class Link:
    """rome, who begins the exchanges, and milan. `delay_ns` may change at any time; `harm` meets exchanges only."""

    def __init__(self, terms: Terms = TERMS, profile: str = "classic", harm: Harm = unharmed) -> None:
        self.clock = ManualClock()
        self.delay_ns = 30 * MS
        self.harm = harm
        self.identities: set[tuple[bytes, bytes]] = set()  # SPI and IV
        self.repeats = 0
        self.kex: list[tuple[str, bytes]] = []  # all datagrams of exchanges, with their destination
        self._queue: list[tuple[int, int, str, bytes]] = []
        self._numbers = itertools.count()
        spis = itertools.count(0x1000)
        self.rome, self.milan = Host(self.clock), Host(self.clock)
        self.hosts = {"rome": self.rome, "milan": self.milan}
        for party in parties(profile):
            host = self.hosts[party.identity.name]
            initiates = host is self.rome
            host.end = PairEnd(party, terms, initiates, host, self.clock, lambda: next(spis))

    def run(self, seconds: float, each: Callable[[], None] = lambda: None) -> None:
        """Let that much time pass."""
        end_ns = self.clock.time_ns + round(seconds * S)
        while self.clock.time_ns < end_ns:
            self.clock.time_ns += STEP_NS
            self._deliver()
            for name, other in (("rome", "milan"), ("milan", "rome")):
                host = self.hosts[name]
                self._exchange(other, [part for message in host.end.poll() for part in message.datagrams()])
                for packet in host.packets():
                    identity = packet[:4], packet[8:16]
                    self.repeats += identity in self.identities
                    self.identities.add(identity)
                    self._push(self.delay_ns, other, packet)
            each()

    def settle(self) -> None:
        """Silence until everything has arrived."""
        self.rome.talks = self.milan.talks = False
        self.run(1)

    def inject(self, destination: str, datagram: bytes) -> None:
        """As an attacker on the path."""
        self._push(self.delay_ns, destination, datagram)

    def lost(self) -> int:
        """Packets that were sent, are not on their way, and were not accepted."""
        on_their_way = sum(data[:4] != bytes(4) for _, _, _, data in self._queue)
        sent, accepted = self.rome.sent + self.milan.sent, self.rome.accepted + self.milan.accepted
        return sent - accepted - on_their_way

    def _exchange(self, destination: str, datagrams: list[bytes]) -> None:
        for datagram in datagrams:
            self.kex.append((destination, datagram))
            for extra_ns, copy in self.harm(datagram):
                self._push(self.delay_ns + extra_ns, destination, copy)

    def _push(self, delay_ns: int, destination: str, data: bytes) -> None:
        heapq.heappush(self._queue, (self.clock.time_ns + delay_ns, next(self._numbers), destination, data))

    def _deliver(self) -> None:
        while self._queue and self._queue[0][0] <= self.clock.time_ns:
            _, _, destination, data = heapq.heappop(self._queue)
            host = self.hosts[destination]
            if data[:4] != bytes(4):
                host.take(data)
                continue
            try:
                message = host.assembler.add(data)
                if message is None or not host.end.owns(message):
                    continue
            except KeyExchangeError as error:
                host.alarm(Verdict.KEX_FAIL, str(error))
                continue
            replies = host.end.receive(message)
            other = "milan" if destination == "rome" else "rome"
            self._exchange(other, [part for reply in replies for part in reply.datagrams()])


def with_lifetime(**limits: int) -> Terms:
    """TERMS with other limits."""
    return replace(TERMS, lifetime=replace(TERMS.lifetime, **limits))
