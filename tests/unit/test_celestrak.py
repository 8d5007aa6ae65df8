from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from orbit_data import SET_1, SET_2
from sgp4.api import Satrec
from sgp4.exporter import export_omm

from testbed.ground.errors import CatalogueError, InputError, MachineError
from testbed.orbits.catalogue import read_catalogue
from testbed.orbits.celestrak import MINIMUM_AGE_S, describe, fetch

NOW = 1_781_416_800.0  # 2026-06-14T06:00:00Z


def elements(*numbers: int) -> bytes:
    row = export_omm(Satrec.twoline2rv(SET_1, SET_2), "STARLINK-1008")
    return json.dumps([row | {"NORAD_CAT_ID": number} for number in numbers]).encode()


class CelesTrak(ThreadingHTTPServer):
    """Plays CelesTrak on loopback: answers every request with `status` and `body`, and keeps the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.status, self.body, self.cut = 200, elements(44714), 0
        self.requests: list[str] = []
        self.agents: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/gp.php"


class Answer(BaseHTTPRequestHandler):
    server: CelesTrak

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        self.server.agents.append(self.headers["User-Agent"])
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body[: len(self.server.body) - self.server.cut])

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def celestrak(monkeypatch: pytest.MonkeyPatch) -> Iterator[CelesTrak]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with CelesTrak() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_elements_are_fetched_kept_and_read(celestrak: CelesTrak, tmp_path: Path) -> None:
    path = fetch("starlink", tmp_path / "new" / "cache", base_url=celestrak.url, now=NOW)
    assert path == tmp_path / "new" / "cache" / "starlink.json"
    assert read_catalogue(path).numbers.tolist() == [44714]
    assert celestrak.requests == ["/gp.php?GROUP=starlink&FORMAT=json"]
    assert celestrak.agents == ["satcom-testbed"]
    assert [file.name for file in path.parent.iterdir()] == ["starlink.json"]  # nothing temporary stays


def test_a_set_is_not_fetched_again_within_two_hours(celestrak: CelesTrak, tmp_path: Path) -> None:
    for now in (NOW, NOW + 1, NOW + MINIMUM_AGE_S - 1):
        fetch("starlink", tmp_path, base_url=celestrak.url, now=now)
    assert len(celestrak.requests) == 1
    fetch("oneweb", tmp_path, base_url=celestrak.url, now=NOW + 1)
    assert len(celestrak.requests) == 2  # another set is another matter
    celestrak.body = elements(44714, 44715)
    path = fetch("starlink", tmp_path, base_url=celestrak.url, now=NOW + MINIMUM_AGE_S)
    assert len(celestrak.requests) == 3
    assert len(read_catalogue(path)) == 2


def test_people_are_told_how_old_the_elements_are(celestrak: CelesTrak, tmp_path: Path) -> None:
    path = fetch("starlink", tmp_path, base_url=celestrak.url, now=NOW)
    assert describe(path, now=NOW + 43 * 60) == (
        "starlink.json: downloaded 43 min ago from CelesTrak, which allows a set to be fetched once in two hours: "
        "again from 2026-06-14T08:00:00Z"
    )


@pytest.mark.parametrize(
    "body", [b"", b"No GP data found", b"<html><body>busy</body></html>", elements(44714)[:-5], elements(1, 1)]
)
def test_a_reply_that_is_no_catalogue_replaces_nothing(celestrak: CelesTrak, tmp_path: Path, body: bytes) -> None:
    path = fetch("starlink", tmp_path, base_url=celestrak.url, now=NOW)
    before = path.read_bytes()
    celestrak.body = body
    with pytest.raises(CatalogueError, match=r"^reply of http://127\.0\.0\.1:\d+/gp\.php\?GROUP=starlink&FORMAT=json"):
        fetch("starlink", tmp_path, base_url=celestrak.url, now=NOW + MINIMUM_AGE_S)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_refusal_is_told_in_celestraks_words(celestrak: CelesTrak, tmp_path: Path) -> None:
    celestrak.status, celestrak.body = 403, b"GP data has not updated\nsince your last successful download"
    with pytest.raises(MachineError) as error:
        fetch("starlink", tmp_path, base_url=celestrak.url, now=NOW)
    assert "refused with 403 Forbidden ('GP data has not updated since your last successful download')" in str(
        error.value
    )
    assert "\n" not in str(error.value)


def test_a_reply_that_breaks_off_replaces_nothing(celestrak: CelesTrak, tmp_path: Path) -> None:
    celestrak.cut = 10
    with pytest.raises(MachineError, match="cannot be reached"):
        fetch("starlink", tmp_path, base_url=celestrak.url, now=NOW)
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_one_line_says_so(celestrak: CelesTrak, tmp_path: Path) -> None:
    path = fetch("starlink", tmp_path, base_url=celestrak.url, now=NOW)
    celestrak.shutdown()
    celestrak.server_close()
    with pytest.raises(MachineError, match=r"cannot be reached \(.*refused.*\): check the network, or give") as error:
        fetch("starlink", tmp_path, base_url=celestrak.url, now=NOW + MINIMUM_AGE_S)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("group", ["", "../starlink", "starlink&FORMAT=tle", "a b"])
def test_a_bad_group_is_refused_before_anything_is_sent(celestrak: CelesTrak, tmp_path: Path, group: str) -> None:
    with pytest.raises(InputError, match="is not a CelesTrak group"):
        fetch(group, tmp_path, base_url=celestrak.url)
    assert celestrak.requests == []


def test_only_http_addresses_are_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not an http or https URL"):
        fetch("starlink", tmp_path, base_url="file:///etc/passwd")


def test_a_cache_that_cannot_be_written_is_named(celestrak: CelesTrak, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(MachineError, match="choose another cache folder"):
        fetch("starlink", in_the_way, base_url=celestrak.url, now=NOW)
