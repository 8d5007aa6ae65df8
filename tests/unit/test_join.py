"""Conversations and their frames: one socket for each natively, many over one stream into the guest."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from testbed.emulation.join import frames
from testbed.emulation.join.door import knock, listen
from testbed.emulation.join.frames import Conversation, HungUp
from testbed.emulation.join.mux import Mux
from testbed.ground.joining import DOOR, nearest


def test_what_is_told_is_heard_and_the_end_is_a_hang_up() -> None:
    near, far = map(Conversation, socket.socketpair())
    near.tell(frames.INPUT, b"\0\xff" * 70_000)
    near.tell_json(frames.REQUEST, {"do": "exec", "node": "rome"})
    near.close()
    assert far.hear() == (frames.INPUT, b"\0\xff" * 70_000)
    assert far.hear() == (frames.REQUEST, b'{"do": "exec", "node": "rome"}')
    with pytest.raises(HungUp):
        far.hear()
    with pytest.raises(HungUp):
        far.tell(frames.OUTPUT, b"x")
    far.close()


def test_a_length_that_is_none_of_ours_is_a_hang_up() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.sendall(b"\x01\xff\xff\xff\xff")
        with pytest.raises(HungUp):
            Conversation(far).hear()


class Line:
    """The host's door and the guest's end, with a stream between them; every conversation is echoed, byte by byte."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        host, guest = socket.socketpair()
        for end in (host, guest):  # a small console
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self._stop, self._stopped = os.pipe()
        self._door = listen(folder)
        ends = (Mux(host.fileno(), listener=self._door), Mux(guest.fileno(), on_open=self._meet))
        self._threads = [threading.Thread(target=end.run, args=(self._stop,)) for end in ends]
        self._sockets = (host, guest)
        for thread in self._threads:
            thread.start()

    def _meet(self, sock: socket.socket) -> None:
        threading.Thread(target=self._echo, args=(sock,), daemon=True).start()

    def _echo(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            while data := sock.recv(65_536):
                sock.sendall(data)

    def close(self) -> None:
        os.close(self._stopped)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        os.close(self._stop)
        self._door.close()
        for end in self._sockets:
            end.close()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    found = Line(tmp_path)
    yield found
    found.close()


def exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = sock.recv(65_536)
        assert part, f"hung up after {len(data)} bytes of {count}"
        data += part
    return data


def test_many_conversations_share_one_stream_and_none_loses_a_byte(line: Line) -> None:
    sent = [os.urandom(300_000 + number) for number in range(4)]
    clients = [knock(line.folder) for _ in sent]
    writers = [
        threading.Thread(target=client.sendall, args=(data,)) for client, data in zip(clients, sent, strict=True)
    ]
    for writer in writers:
        writer.start()
    for client, data in zip(clients, sent, strict=True):
        client.settimeout(20)
        assert exactly(client, len(data)) == data
    for thing in (*writers, *clients):
        thing.join() if isinstance(thing, threading.Thread) else thing.close()


def test_one_who_does_not_read_holds_nobody_up(line: Line) -> None:
    lazy, busy = knock(line.folder), knock(line.folder)
    writer = threading.Thread(target=lambda: _send_until_refused(lazy, 8 << 20), daemon=True)
    writer.start()
    busy.settimeout(20)
    for number in range(50):
        busy.sendall(b"%04d" % number)
        assert exactly(busy, 4) == b"%04d" % number
    lazy.close()
    busy.close()
    writer.join(10)


def _send_until_refused(sock: socket.socket, count: int) -> None:
    with suppress(OSError):
        sock.sendall(bytes(count))


def test_a_client_that_hangs_up_is_heard_at_the_other_end(line: Line) -> None:
    heard = threading.Event()
    echo = line._echo

    def listening(sock: socket.socket) -> None:
        echo(sock)
        heard.set()

    line._echo = listening  # type: ignore[method-assign]
    knock(line.folder).close()
    assert heard.wait(10)


def test_the_door_is_its_owners_alone_and_its_path_may_be_long(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    with listen(folder) as door:
        assert (folder / DOOR).stat().st_mode & 0o777 == 0o600
        client = knock(folder)
        door.accept()[0].close()
        client.close()
    with pytest.raises(ConnectionRefusedError):
        knock(folder)
    with listen(folder):  # over what a killed run has left
        knock(folder).close()


def test_near_names_are_offered_else_those_there_are() -> None:
    names = ["rome", "taranto", "ut-rome", "gw-milano"]
    assert nearest("rom", names) == ": did you mean 'rome' or 'ut-rome'?"
    assert nearest("xxxx", names) == ": there is rome, taranto, ut-rome, gw-milano"
    assert nearest("zzz", [f"NORAD{number}" for number in range(20)]).endswith("NORAD7, …")
