"""What the commands of the traffic side refuse: one line, and the exit code of the error."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from traffic.cli import command
from traffic.keys import load_keys, make_associations, write_keys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_keys(make_associations([("a", "b", 0), ("a", "b", 46)]).values(), tmp_path / "two.json")
    (tmp_path / "text").write_text("no keys")
    (tmp_path / "object").write_text("{}")
    (tmp_path / "entry").write_text('[{"key": "00", "salt": "00"}]')
    (tmp_path / "short").write_text((tmp_path / "two.json").read_text().replace('"salt": "', '"salt": "00'))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("send --keys absent --to 127.0.0.1", 2, "absent: No such file or directory: make one with `python -m traffic"),
        ("send --keys text --to 127.0.0.1", 2, "text: not JSON"),
        ("send --keys object --to 127.0.0.1", 2, "object: a list of security associations was expected"),
        ("send --keys entry --to 127.0.0.1", 2, "entry: entry 0 is no security association"),
        ("send --keys short --to 127.0.0.1", 2, "with a key of 32 and a salt of 5 bytes is refused"),
        ("send --keys two.json --to 127.0.0.1", 2, "--dscp is missing: the key file has one key each for 0, 46"),
        ("send --keys two.json --to 127.0.0.1 --dscp 10", 2, "--dscp 10: the key file has one key each for 0, 46"),
        ("send --keys two.json --to 127.0.0.1 --dscp 0 --size 59", 2, "--size 59 is refused: use 60 to 1380"),
        ("send --keys two.json --to 127.0.0.1 --dscp 0 --rate 0.01", 2, "--rate 0.01 for --duration 10 is not one"),
        ("send --keys two.json --to 127.0.0.1 --dscp 0 --bind 192.0.2.99", 3, "UDP socket on 192.0.2.99 port 0: "),
        ("send --keys two.json --to no.such.host.invalid --dscp 0", 2, "--to no.such.host.invalid: "),
        ("receive --keys two.json --bind 192.0.2.99", 2, "--bind 192.0.2.99: no interface here has it"),
        ("receive --keys two.json --bind 127.0.0.1 --interface no-such0", 3, "tap on no-such0: "),
        ("judge absent --keys two.json", 2, "absent: No such file or directory"),
        ("judge text --keys two.json", 2, "text: neither pcap nor pcapng (it begins with 6e6f206b)"),
        ("reflect --bind 127.0.0.1 --peer rome", 2, "--peer: 'rome' does not appear to be an IPv4 or IPv6 network"),
        ("reflect --bind 192.0.2.99 --peer ::1", 3, "UDP socket on 192.0.2.99 port 862: "),
        ("stamp --to 127.0.0.1 --key text", 2, "text: no key of 32 bytes in hexadecimal: make one with `keys --stamp`"),
        ("keys --out two.json", 4, "two.json: File exists; keys are never written over others"),
        ("keys --out new.json --window 16", 2, "anti-replay window 16 is refused: choose 32 to 4096 packets"),
    ],
)  # fmt: skip
def test_refusals(folder: Path, monkeypatch: pytest.MonkeyPatch, words: str, code: int, told: str) -> None:
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(command, words.split())
    assert result.exit_code == code, result.output
    assert told in result.stderr
    assert result.stderr.startswith("traffic: ")
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""
    assert not list(folder.glob("*.used"))  # nothing that was refused uses a key up


def test_a_probe_that_nobody_answers_is_not_valid() -> None:
    words = "stamp --to 127.0.0.1 --port 9 --count 2 --interval 0.01 --wait 0.1"
    result = CliRunner().invoke(command, words.split())
    assert result.exit_code == 4
    assert result.stdout == "0 of 2 probes answered\n"


def test_keys_come_back_from_their_file(tmp_path: Path) -> None:
    associations = list(make_associations([("a", "b", 0), ("b", "a", 46)], esn=False, window=64).values())
    write_keys(associations, tmp_path / "keys.json")
    assert load_keys(tmp_path / "keys.json") == associations


def test_no_attack_can_be_asked_for() -> None:
    assert set(command.commands) == {"keys", "send", "receive", "judge", "reflect", "stamp"}
