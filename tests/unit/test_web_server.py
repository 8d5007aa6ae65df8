"""The dashboard's server, as a process of its own beside a made-up run: who may ask, what it answers, how it ends."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from web_lab import judge, make_run

from testbed.bench.viewer import Viewer
from testbed.ground.errors import InputError, RunError
from testbed.ground.joining import LIVE, forget_progress, write_progress
from testbed.lab.web.app import MOST_BODY, STATIC
from testbed.lab.web.beside import Beside
from testbed.lab.web.listen import Listening, listen
from testbed.lab.web.serve import foreground
from testbed.plan.faults import INBOX, LOG
from testbed.plan.model import load

GATEWAY = {"kind": "gateway", "node": "gw-milano", "for": 5}
RECORD = {"time_s": 3.0, "of_s": 60.0, "paths": [{"measured_ms": 12.5, "planned_ms": 12.4}], "flows": []}


class Served:
    """A dashboard beside a made-up run."""

    def __init__(self, folder: Path) -> None:
        make_run(folder)
        self.folder = folder
        self.listening = listen("127.0.0.1:0")
        self.url = self.listening.url
        self.viewer = Viewer(self.url)
        self.beside = Beside(folder, self.listening)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    one = Served(tmp_path_factory.mktemp("web") / "run")
    yield one
    one.beside.close()
    assert one.beside._server.returncode == 0
    assert (one.folder / "web.log").read_text() == ""


def test_the_page_and_all_it_loads_are_there(served: Served) -> None:
    assert served.viewer.load() > 100_000
    status, headers, body = served.viewer.ask("")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert (headers["referrer-policy"], headers["x-content-type-options"]) == ("no-referrer", "nosniff")
    assert b"http://" not in body
    assert b"https://" not in body
    assert b"style=" not in body  # the policy would refuse it


def test_the_positions_are_the_files(served: Served) -> None:
    whole = served.viewer.ask("sky?from=0&count=8")[2]
    assert len(whole) == 3 * 2 * 3 * 2
    assert served.viewer.ask("sky?from=1&count=1")[2] == whole[12:24]
    for query in ("", "?from=0", "?from=x&count=1"):
        assert served.viewer.ask(f"sky{query}")[0] == 400


def test_nobody_enters_without_the_token(served: Served) -> None:
    token = served.listening.token
    outside = Viewer(served.url.replace(token + "/", ""))
    wrong = [f"{token[:-1]}{'A' if token[-1] != 'A' else 'B'}/", f"{token}x/", "%C3%A9/", "static/main.js", "", "//"]
    for path in wrong:
        status, headers, body = outside.ask(path)
        assert (status, body) == (403, b"wrong or missing token: open the address that testbed printed\n")
        assert "default-src 'none'" in headers["content-security-policy"]
    with pytest.raises(RunError, match="status 403"):
        next(outside.listen())
    assert outside.ask(token)[0] == 307  # the last slash alone was missing
    assert len(token) >= 22  # 128 bits
    with (other := listen("127.0.0.1:0")).socket:
        assert other.token != token


def test_only_its_own_names_are_answered_to(served: Served) -> None:
    port = served.listening.port
    for host in ("127.0.0.1", "localhost", "[::1]"):
        assert served.viewer.ask("", Host=f"{host}:{port}")[0] == 200
    for host in (
        "evil.example",
        f"evil.example:{port}",
        f"127.0.0.1:{port + 1}",
        "127.0.0.1",
        f"127.0.0.1.evil:{port}",
    ):
        assert served.viewer.ask("", Host=host)[0] == 403


def test_other_pages_of_the_same_browser_are_kept_out(served: Served) -> None:
    for origin in ("http://evil.example", f"https://127.0.0.1:{served.listening.port}", "null", ""):
        assert served.viewer.ask("fault", body=json.dumps(GATEWAY), Origin=origin)[0] == 403
        with pytest.raises(RunError, match="status 403"):
            next(served.viewer.listen(origin))
    assert not list((served.folder / INBOX).iterdir())


def test_nothing_but_its_files_is_given(served: Served) -> None:
    for path in ("static/../../serve.py", "static/%2e%2e/%2e%2e/serve.py", "static/", "plan/plan.json", "keys.json"):
        assert served.viewer.ask(path)[0] in (404, 405)


def test_a_fault_is_judged_as_the_command_line_judges_it(served: Served) -> None:
    assert b"this run has ended" in served.viewer.ask("fault", body=json.dumps(GATEWAY))[2]
    with _played(served.folder):
        for body, why in (
            ("{", "not JSON"),
            ("[]", "kind [] is not one of"),
            (json.dumps(GATEWAY | {"node": "gw-none"}), "no gateway 'gw-none'; there is gw-milano"),
            (json.dumps(GATEWAY | {"loss": 0.5}), "'loss' is nothing that gateway takes"),
            (json.dumps(GATEWAY | {"for": -1}), "is not a number"),
            (json.dumps(GATEWAY | {"at": 3}), "begins at once"),
            (json.dumps(GATEWAY | {"cause": "x" * MOST_BODY}), "more than 4096 bytes"),
        ):
            status, _, answer = served.viewer.ask("fault", body=body)
            assert status in (400, 413)
            assert why in answer.decode()
        assert not (served.folder / LOG).exists()
        status, _, answer = served.viewer.ask("fault", body=json.dumps(GATEWAY))
        assert status == 200
        assert json.loads(answer)["kind"] == "gateway"
        feed = served.viewer.listen()
        for message in feed:  # the line is told to every page
            lines = [message["fault"]] if "fault" in message else message.get("faults", [])
            if any(line["act"] == "begin" for line in lines):
                break
        assert served.viewer.ask("fault")[0] == 405


def test_who_comes_later_is_told_what_was(served: Served) -> None:
    feed = served.viewer.listen()
    assert next(feed)["mode"] == "live"
    served.beside.tell({"stage": "playing"})
    served.beside.tell({"progress": 3.0, "of": 60.0, "live": RECORD})
    heard = list(takewhile(lambda message: "live" not in message, feed))
    assert {"stage": "playing"} in heard
    late = served.viewer.listen()
    assert next(late)["past"] == [[3.0, [12.5]]]
    assert [next(late), next(late)] == [{"stage": "playing"}, {"progress": 3.0, "of": 60.0, "live": RECORD}]


def test_it_ends_with_the_run_and_tells_the_verdict(tmp_path: Path) -> None:
    one = Served(tmp_path / "run")
    feed = one.viewer.listen()
    assert next(feed)["mode"] == "live"
    judged = judge(one.folder)
    one.beside.tell({"ended": judged["verdict"]})
    message = next(feed)
    assert message["ended"] == judged["verdict"]
    assert message["measured"]["report"]["verdict"] == judged["verdict"]
    assert len(message["measured"]["probes"]) == len(load(one.folder / "plan").paths)
    one.beside.close()
    assert list(feed) == []
    assert one.beside._server.returncode == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", one.listening.port), 1).close()


def test_a_dead_server_does_not_hold_the_run_up(tmp_path: Path) -> None:
    one = Served(tmp_path / "run")
    one.beside._server.kill()
    one.beside._server.wait()
    for _ in range(100):
        one.beside.tell({"progress": 1.0, "filling": "x" * 100_000})
    one.beside.close()


def test_a_server_that_does_not_listen_does_not_hold_the_run_up(tmp_path: Path) -> None:
    import signal

    one = Served(tmp_path / "run")
    one.beside._server.send_signal(signal.SIGSTOP)
    began = time.process_time()
    for _ in range(200):
        one.beside.tell({"progress": 1.0, "filling": "x" * 100_000})
    assert len(one.beside._pending) < 2 << 20
    assert time.process_time() - began < 5
    one.beside._server.kill()
    one.beside.close()


def test_a_live_run_of_another_command_is_followed_to_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    plan = make_run(folder)
    (folder / LIVE).write_text("{}")
    listening = listen("127.0.0.1:0")
    threading.Thread(target=lambda: foreground(plan, folder, listening), daemon=True).start()
    feed = Viewer(listening.url).listen()
    assert next(feed)["mode"] == "live"
    write_progress(folder, RECORD)
    assert next(feed) == {"progress": 3.0, "of": 60.0, "live": RECORD}
    forget_progress(folder)
    judged = judge(folder)
    assert next(feed)["ended"] == judged["verdict"]
    assert next(Viewer(listening.url).listen())["mode"] == "replay"


@pytest.mark.parametrize(
    ("written", "why"),
    [("8080", "is not ADDRESS:PORT"), ("localhost:80", "is not ADDRESS:PORT"), ("127.0.0.1:x", "is not ADDRESS:PORT"),
     ("127.0.0.1:65536", "no port 65536"), ("127.0.0.1:-1", "no port -1"), ("192.0.2.1:0", "choose another address")],
)  # fmt: skip
def test_an_address_that_cannot_be_listened_on_is_refused(written: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        listen(written)


def test_a_port_in_use_is_refused() -> None:
    with listen("127.0.0.1:0").socket as first, pytest.raises(InputError, match="Address already in use: choose"):
        listen(f"127.0.0.1:{first.getsockname()[1]}")


def test_addresses_as_people_open_them() -> None:
    with socket.socket() as any_socket:
        told = {
            address: Listening(any_socket, address, 80, "t") for address in ("127.0.0.1", "::1", "0.0.0.0", "10.0.2.15")
        }
    assert [one.url for one in told.values()] == [
        "http://127.0.0.1:80/t/", "http://[::1]:80/t/", "http://127.0.0.1:80/t/", "http://10.0.2.15:80/t/"
    ]  # fmt: skip
    assert [one.loopback for one in told.values()] == [True, True, False, False]
    assert "10.0.2.15:80" in told["10.0.2.15"].hosts


def test_the_vendored_files_are_those_that_were_recorded() -> None:
    folder = STATIC / "vendor"
    recorded = dict(reversed(line.split("  ./")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert set(recorded) == {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
    for name, digest in recorded.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, f"{name}: run scripts/vendor"
    pinned = json.loads((Path(__file__).parents[2] / "scripts/frontend/package-lock.json").read_text())["packages"]
    for package, file in (("d3-array", "d3-array.min.js"), ("d3-geo", "d3-geo.min.js")):
        version = pinned[f"node_modules/{package}"]["version"]
        assert f"{package}/ v{version}" in (folder / file).read_text()[:100]
    assert pinned["node_modules/uplot"]["version"] in (folder / "uPlot.iife.min.js").read_text()[:200]


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    for path in [*STATIC.glob("*.js"), *STATIC.glob("*.css"), *STATIC.glob("*.html")]:
        text = path.read_text()
        assert "://" not in text.replace("ws://${location.host}", ""), path
        assert "innerHTML" not in text, path


@contextmanager
def _played(folder: Path) -> Iterator[None]:
    """A stand-in for the runner's side of the inbox, which tests/examples/test_live_faults.py has for real."""
    (folder / LIVE).write_text("{}")
    stop = threading.Event()

    def take_up() -> None:
        while not stop.wait(0.05):
            for path in (folder / INBOX).glob("*.json"):
                entry: dict[str, Any] = json.loads(path.read_text())
                line = {"act": "begin", "id": path.stem, "time_ns": 1, "kind": entry["kind"], "nodes": [], "links": 4}
                with (folder / LOG).open("a") as log:
                    log.write(json.dumps(line | {"cause": "", "down": True, "dark": []}) + "\n")
                path.unlink()

    thread = threading.Thread(target=take_up)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        (folder / LIVE).unlink()
