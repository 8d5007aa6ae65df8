"""Page loads over TLS between real namespaces: what they measure, and each thing that must stop one."""

from __future__ import annotations

import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from traffic_hosts import MILAN, routed
from traffic_lab import Lab

from traffic.errors import SessionError, TlsError
from traffic.pages import Client, Server, open_listener, open_stream
from traffic.tls import (
    CERTIFICATES,
    GROUP,
    GROUP_CODE,
    Credentials,
    client_context,
    make_credentials,
    rehearse,
    save_key_log,
    server_context,
)
from traffic.web import Site, WebFlow, summarise_web

pytestmark = pytest.mark.netns

S = 1_000_000_000
PORT = 8443
FLOW = WebFlow("page", "web", "rome", "milan", 0, 12, 18_432, 38_531, 6, 0.5, 0, S)
SITE = Site.of(FLOW, b"seed of the run")


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        routed(lab)
        yield lab


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    return make_credentials("milan", tmp_path)


@contextmanager
def serving(lab: Lab, credentials: Credentials, *, site: Site = SITE, groups: str = GROUP) -> Iterator[Server]:
    """The page at milan."""
    listener = lab.within("milan", open_listener, MILAN, PORT)
    server, ended = Server(listener, server_context(credentials, groups), site, "milan"), threading.Event()
    thread = threading.Thread(target=server.run, args=(ended.is_set,))
    thread.start()
    try:
        yield server
    finally:
        ended.set()
        thread.join()


def client(
    lab: Lab,
    credentials: Credentials,
    *,
    flow: WebFlow = FLOW,
    groups: str = GROUP,
    address: tuple[str, int] = (MILAN, PORT),
    key_log: list[bytes] | None = None,
) -> Client:
    """Somebody at rome who wants the page."""
    context = client_context(credentials.certificate, groups, key_log)
    return Client(
        flow, SITE.digests, context, credentials.certificate, lambda: lab.within("rome", open_stream), address
    )


def test_a_page_loads_whole_over_six_post_quantum_connections(
    lab: Lab, credentials: Credentials, tmp_path: Path
) -> None:
    secrets: list[bytes] = []
    with serving(lab, credentials) as server:
        load = client(lab, credentials, key_log=secrets).load(7)
        assert load.error is None
        assert (load.begun_ns, load.received_bytes, load.group) == (7, FLOW.page_bytes, "X25519MLKEM768")
        assert 1 < len(load.handshake_ms) <= len(load.connect_ms) == 6  # the page may be there before the last is up
        assert load.load_ms is not None
        assert load.first_byte_ms is not None
        assert load.load_ms > load.connect_ms[0] + load.handshake_ms[0] + load.first_byte_ms
        assert server.served >= 11  # it counts the last one a moment after the client has it
    save_key_log(secrets, tmp_path / "keys")
    assert (tmp_path / "keys").read_text().count("SERVER_TRAFFIC_SECRET_0") >= len(load.handshake_ms)
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o600
    assert stat.S_IMODE(credentials.key_file.stat().st_mode) == 0o600


def test_a_rehearsal_agrees_on_the_group_or_says_why_not(credentials: Credentials) -> None:
    rehearse(server_context(credentials), client_context(credentials.certificate))
    with pytest.raises(TlsError, match="rehearsal of a handshake: TLS: no suitable key share"):
        rehearse(server_context(credentials), client_context(credentials.certificate, "X25519"))
    with pytest.raises(TlsError, match=f"group x25519 instead of {GROUP}"):
        rehearse(server_context(credentials, "X25519"), client_context(credentials.certificate, "X25519"))


@pytest.mark.parametrize("algorithm", CERTIFICATES)
def test_both_kinds_of_certificate_serve(lab: Lab, tmp_path: Path, algorithm: str) -> None:
    credentials = make_credentials("milan", tmp_path, algorithm)
    with serving(lab, credentials):
        assert client(lab, credentials).load(0).error is None
    with pytest.raises(SessionError, match="never written over others"):
        make_credentials("milan", tmp_path, algorithm)


def test_pages_are_loaded_from_the_start_to_the_stop_of_the_flow(lab: Lab, credentials: Credentials) -> None:
    flow = replace(FLOW, repeat_s=0.3, start_ns=S // 10, stop_ns=S)
    start_ns = time.time_ns()
    with serving(lab, credentials):
        loads = client(lab, credentials, flow=flow).run(start_ns)
    assert [load.error for load in loads] == [None] * len(loads)
    assert 1 <= len(loads) <= 3
    assert all(load.begun_ns >= S // 10 + number * 300_000_000 for number, load in enumerate(loads))
    told = summarise_web(flow, loads)
    assert (told["loads"], told["failed"], told["group"], told["errors"]) == (len(loads), 0, GROUP, [])
    assert 0 < told["load_ms"]["p50"] <= told["load_ms"]["p95"] <= told["load_ms"]["max"]


def test_a_client_that_offers_only_x25519_is_refused(lab: Lab, credentials: Credentials) -> None:
    with serving(lab, credentials) as server:
        load = client(lab, credentials, groups="X25519").load(0)
        assert load.error is not None
        assert "TLS" in load.error
        assert load.handshake_ms == ()
        assert load.load_ms is None
        assert server.served == 0
        assert "no suitable key share" in wait_for(server)[0]


def test_a_server_that_agrees_to_less_is_refused_by_the_client(lab: Lab, credentials: Credentials) -> None:
    """Both would have X25519: the connection's own group decides, not what was offered."""
    with serving(lab, credentials, groups="X25519") as server:
        load = client(lab, credentials, groups=f"{GROUP}:X25519").load(0)
        assert load.error is not None
        assert "with group x25519: TLSv1.3 with X25519MLKEM768 is demanded" in load.error
        assert (load.received_bytes, server.served) == (0, 0)


def test_openssl_without_the_group_gets_no_connection(lab: Lab, credentials: Credentials) -> None:
    """Debian's OpenSSL 3.0 knows no ML-KEM: a foreign client, and it is refused."""
    with serving(lab, credentials) as server:
        command = ["openssl", "s_client", "-tls1_3", "-connect", f"{MILAN}:{PORT}"]
        done = subprocess.run(
            ["ip", "netns", "exec", lab.name("rome"), *command],
            input=b"", capture_output=True, check=False, timeout=20,
        )  # fmt: skip
        if b"X25519MLKEM768" in subprocess.run([command[0], "list", "-kem-algorithms"], capture_output=True).stdout:
            pytest.skip("this OpenSSL knows the group")
        assert done.returncode != 0
        assert server.served == 0
        assert "no suitable key share" in wait_for(server)[0]


def test_another_certificate_is_refused(lab: Lab, credentials: Credentials, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = make_credentials("milan", tmp_path / "other")
    with serving(lab, other):
        load = client(lab, credentials).load(0)
    assert load.error is not None
    assert "certificate verify failed" in load.error


def test_other_content_is_refused_by_its_hash(lab: Lab, credentials: Credentials) -> None:
    with serving(lab, credentials, site=Site(b"another seed", SITE.sizes)):
        load = client(lab, credentials).load(0)
    assert load.error is not None
    assert "object 0: other content than the server holds" in load.error


def test_nobody_there_and_nobody_answering_are_told_apart(lab: Lab, credentials: Credentials) -> None:
    assert "Connection refused" in str(client(lab, credentials).load(0).error)
    lab.ip("router", "route add blackhole 10.9.9.9/32")
    silent = lab.within("milan", open_listener, MILAN, PORT)
    load = client(lab, credentials).load(0, patience_ns=S // 5)
    silent.close()
    assert load.error == "page page: given up after 0.2 s with 0 of 12 objects"


@pytest.mark.parametrize("where", ["hello", "record"])
def test_a_byte_altered_on_the_way_is_a_tls_error(lab: Lab, credentials: Credentials, where: str) -> None:
    """A relay in the router flips one bit of what the server says."""
    with serving(lab, credentials), relay(lab, at=60 if where == "hello" else 40_000):
        load = client(lab, credentials, address=("10.0.1.1", PORT)).load(0)
    assert load.error is not None
    assert "TLS: " in load.error
    if where == "record":
        assert load.error_type == "RecordAltered"
        assert "bad record mac" in load.error
    assert load.load_ms is None
    assert load.received_bytes < FLOW.page_bytes


def test_tshark_finds_the_group_in_both_hellos_and_no_content_in_the_clear(
    lab: Lab, credentials: Credentials, tmp_path: Path
) -> None:
    if shutil.which("tshark") is None or shutil.which("tcpdump") is None:
        pytest.skip("tshark or tcpdump is not installed")
    capture, secrets = tmp_path / "page.pcap", []
    dump = start_capture(lab, capture)
    try:
        with serving(lab, credentials):
            assert client(lab, credentials, key_log=secrets).load(0).error is None
        time.sleep(0.3)
    finally:
        dump.terminate()
        dump.communicate()
    fields = ["-Y", "tls.handshake.type == 2", "-T", "fields", "-e", "tls.handshake.extensions_key_share_group"]
    assert set(dissect(capture, *fields).split()) == {str(GROUP_CODE)}
    fields[1] = "tls.handshake.type == 1"
    assert {line.split(",")[0] for line in dissect(capture, *fields).split()} == {str(GROUP_CODE)}
    assert SITE.bodies[0][:16] not in capture.read_bytes()
    save_key_log(secrets, tmp_path / "keys")
    keys = ["-o", f"tls.keylog_file:{tmp_path / 'keys'}"]
    answers = dissect(capture, *keys, "-Y", "http.response", "-T", "fields", "-e", "http.content_length_header")
    assert set(answers.replace(",", " ").split()) == {"18432", "38531"}


def wait_for(server: Server) -> list[str]:
    """What the server says went wrong; it says so a moment after the client knows."""
    for _ in range(100):
        if server.failures:
            break
        time.sleep(0.02)
    return server.failures


@contextmanager
def relay(lab: Lab, *, at: int) -> Iterator[None]:
    """A relay at the router that flips a bit of byte number `at` on the way to the client, of each connection."""
    listener = lab.within("router", open_listener, "10.0.1.1", PORT)

    def carry(source: socket.socket, sink: socket.socket, flip: int | None) -> None:
        done = 0
        try:
            while data := bytearray(source.recv(4096)):
                if flip is not None and done <= flip < done + len(data):
                    data[flip - done] ^= 1
                done += len(data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return  # one side has gone

    threads: list[threading.Thread] = []
    opened: list[socket.socket] = [listener]

    def accept() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return  # the test is over
            far = lab.within("router", open_stream)
            far.connect((MILAN, PORT))
            opened.extend((near, far))
            for sides in ((near, far, None), (far, near, at)):
                threads.append(threading.Thread(target=carry, args=sides))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield
    finally:
        for sock in opened[::-1]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in (accepting, *threads):
            thread.join()
        for sock in opened:
            sock.close()


def start_capture(lab: Lab, path: Path) -> subprocess.Popen[bytes]:
    command = ["tcpdump", "-U", "-Z", "root", "-s", "0", "-i", "r-eth0", "-w", str(path)]
    dump = subprocess.Popen(
        ["ip", "netns", "exec", lab.name("router"), *command], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert dump.stderr is not None
    while b"listening on" not in dump.stderr.readline():
        assert dump.poll() is None
    return dump


def dissect(capture: Path, *arguments: str) -> str:
    command = ["tshark", "-r", str(capture), "-d", f"tcp.port=={PORT},tls", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
