"""Associations are separate, random and kept from other eyes; what the package imports stays cheap."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from traffic.errors import ConfigurationError, SessionError, TrafficError
from traffic.esp import CHACHA20_POLY1305
from traffic.keys import make_associations, save_keys, wireshark_lines
from traffic.session import SessionOptions

CLASSES = [("rome", "milan", 46), ("rome", "milan", 0), ("milan", "rome", 46), ("rome", "milan", 46)]


def test_one_association_per_direction_and_class() -> None:
    associations = make_associations(CLASSES)
    assert list(associations) == CLASSES[:3]
    for field in ("spi", "key", "salt"):
        assert len({getattr(sa, field) for sa in associations.values()}) == 3
    assert all(256 <= sa.spi <= 0xFFFFFFFF for sa in associations.values())
    assert all(len(sa.key) == 32 and len(sa.salt) == 4 for sa in associations.values())
    again = make_associations(CLASSES)
    assert not {sa.key for sa in associations.values()} & {sa.key for sa in again.values()}


def test_reserved_and_used_spis_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = iter([0, 255, 256, 256, 7, 257])
    monkeypatch.setattr("secrets.randbits", lambda _: next(draws))
    assert [sa.spi for sa in make_associations(CLASSES[:2]).values()] == [256, 257]


def test_keys_are_written_for_the_owner_alone_and_never_over_others(tmp_path: Path) -> None:
    associations = list(make_associations(CLASSES).values())
    save_keys(associations, tmp_path)
    for name in ("keys.json", "esp_sa"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    documents = json.loads((tmp_path / "keys.json").read_text())
    assert [bytes.fromhex(document["key"]) for document in documents] == [sa.key for sa in associations]
    assert documents[0] | {"key": "", "salt": ""} == {
        "src": "rome",
        "dst": "milan",
        "dscp": 46,
        "spi": associations[0].spi,
        "key": "",
        "salt": "",
        "esn": True,
        "window": 1024,
        "suite": "AES-256-GCM-16",
    }
    assert (tmp_path / "esp_sa").read_text().splitlines() == wireshark_lines(associations)
    with pytest.raises(SessionError, match=r"keys\.json: File exists"):
        save_keys(associations, tmp_path)


def test_wireshark_has_no_chacha20_for_esp() -> None:
    assert wireshark_lines(make_associations(CLASSES, suite=CHACHA20_POLY1305).values()) == []


def test_session_options_are_linted() -> None:
    assert SessionOptions().window == 1024
    with pytest.raises(ConfigurationError, match="anti-replay window 0 is refused"):
        SessionOptions(window=0)
    with pytest.raises(ConfigurationError, match="cipher suite 'NULL' is refused"):
        SessionOptions(suite="NULL")
    with pytest.raises(ConfigurationError, match="generator 'iperf' is unknown: use struct or scapy"):
        SessionOptions(generator="iperf")  # type: ignore[arg-type]


def test_every_error_has_one_root() -> None:
    assert issubclass(ConfigurationError, TrafficError)
    assert issubclass(SessionError, TrafficError)


def test_a_session_imports_neither_scapy_nor_the_testbed() -> None:
    code = (
        "import sys, traffic.session, traffic.adversary;"
        "print(sorted({name.split('.')[0] for name in sys.modules} & "
        "{'scapy', 'testbed', 'topologies', 'mininet', 'pyroute2', 'scipy', 'pyarrow', 'asyncio', 'multiprocessing'}))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[]"
