"""The ledger's comparison: each thing that can happen to a packet, by digest, and where it happened."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from traffic_pair import ESP_AT, Pair, altered

from traffic.ledger import LEDGER_DTYPE, Kind, compare, esp_of

IN, SATELLITE, GATEWAY, OUT = range(4)
MS = 1_000_000
SPI = 0x1000


class Wire:
    """Rows of a ledger, written by hand: ten packets that all arrive, 1 ms apart, 20 ms from point to point."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, int, int]] = []
        for number in range(1, 11):
            for point in (IN, SATELLITE, GATEWAY, OUT):
                self.see(point, number)

    def see(self, point: int, number: int, digest: int | None = None, spi: int = SPI, later_ms: int = 0) -> None:
        self.rows.append(((point), (number + 20 * point + later_ms) * MS, spi, number, digest or 1000 + number))

    def lose(self, number: int, first: int) -> None:
        self.rows = [row for row in self.rows if row[3] != number or row[0] < first]

    def truth(self) -> NDArray[np.void]:
        dice = np.random.default_rng(1)
        return compare(dice.permutation(np.array(self.rows, LEDGER_DTYPE)), [IN], [OUT])

    def others(self) -> list[tuple[int, ...]]:
        """Kind, number, point of all that was not just carried."""
        truth = self.truth()
        rows = truth[truth["kind"] != Kind.CARRIED]
        return [(row["kind"], row["sequence"], row["point"]) for row in rows]


def test_what_is_carried() -> None:
    truth = Wire().truth()
    assert truth["sequence"].tolist() == list(range(1, 11))
    assert set(truth["kind"]) == {Kind.CARRIED}
    assert set(truth["transit_ns"]) == {60 * MS}
    assert (set(truth["entrance"]), set(truth["exit"])) == ({IN}, {OUT})
    assert truth["time_ns"].tolist() == [number * MS for number in range(1, 11)]


def test_missing_and_where_it_was_last() -> None:
    wire = Wire()
    wire.lose(4, GATEWAY)
    wire.lose(7, SATELLITE)
    assert wire.others() == [(Kind.MISSING, 4, SATELLITE), (Kind.MISSING, 7, IN)]
    assert wire.truth()[["transit_ns", "entrance", "exit"]][3].tolist() == (-1, IN, -1)


def test_tampered_and_where_it_was_first() -> None:
    wire = Wire()
    wire.lose(4, GATEWAY)
    wire.see(GATEWAY, 4, digest=7)
    wire.see(OUT, 4, digest=7)
    assert wire.others() == [(Kind.REPLACED, 4, SATELLITE), (Kind.TAMPERED, 4, GATEWAY)]
    assert wire.truth()["outside"].tolist().count(0) == 1


def test_tampered_copy_beside_the_original() -> None:
    wire = Wire()
    wire.see(GATEWAY, 4, digest=7)
    assert wire.others() == [(Kind.TAMPERED, 4, GATEWAY)]
    assert wire.truth()["outside"].tolist().count(0) == 1  # it never came out


def test_injected() -> None:
    wire = Wire()
    wire.see(GATEWAY, 99, digest=7)
    wire.see(OUT, 5, digest=8, spi=SPI + 1)
    assert wire.others() == [(Kind.INJECTED, 5, OUT), (Kind.INJECTED, 99, GATEWAY)]


def test_duplicated_if_it_comes_out_twice_and_not_if_the_copy_is_lost() -> None:
    wire = Wire()
    for point in (GATEWAY, OUT):
        wire.see(point, 6, later_ms=50)
    wire.see(GATEWAY, 8, later_ms=50)
    assert wire.others() == [(Kind.DUPLICATED, 6, IN)]
    truth = wire.truth()
    assert truth[5]["outside"] == 2
    assert truth[5]["transit_ns"] == 60 * MS  # of the first


def test_a_copy_instead_of_the_lost_original_is_carried() -> None:
    wire = Wire()
    wire.lose(6, OUT)
    wire.see(OUT, 6, later_ms=50)
    assert wire.others() == []
    assert wire.truth()[5]["transit_ns"] == 110 * MS


def test_an_empty_ledger() -> None:
    assert len(compare(np.zeros(0, LEDGER_DTYPE), [0], [1])) == 0


def test_esp_is_the_same_whatever_router_or_nat_changed() -> None:
    frame = Pair().send()
    esp = esp_of(frame)
    assert esp == frame[ESP_AT:]
    assert esp_of(frame + bytes(6)) == esp  # Ethernet's padding
    for header_byte in (0, 6, 22, 26, 34):  # addresses of Ethernet, TTL, source address, source port
        assert esp_of(altered(frame, header_byte, 1)) == esp
    assert esp_of(altered(frame, ESP_AT + 20, 1)) != esp
    assert esp_of(frame[:ESP_AT] + bytes(4) + frame[ESP_AT + 4 :]) is None  # the non-ESP marker


def test_esp_in_ipv6() -> None:
    pytest.importorskip("scapy")
    from scapy.layers.inet import UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether

    esp = Pair().send()[ESP_AT:]
    frame = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IPv6() / UDP(sport=4500, dport=4500) / esp)
    assert esp_of(frame) == esp
