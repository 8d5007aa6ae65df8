"""A page without a browser: asks a dashboard for what its page asks for, and listens to its feed."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import CloseConnection, Ping, RejectConnection, Request, TextMessage

from testbed.ground.errors import RunError

_FILES: Final = ("", "static/main.js", "static/page.css", "coast.json", "scene.json", "sky?from=0&count=8")
_TIMEOUT_S: Final = 60.0


class Viewer:
    """At a dashboard's address."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._place = (parts.hostname, parts.port or 80)
        self._path, self._origin = parts.path, f"http://{parts.netloc}"

    def ask(self, path: str, *, body: str | None = None, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body of what is at `path` below the address; with a body it is a POST from the page."""
        connection = http.client.HTTPConnection(*self._place, timeout=_TIMEOUT_S)
        try:
            given = {"Origin": self._origin, **headers} if body is not None else headers
            connection.request("GET" if body is None else "POST", self._path + path, body, given)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def load(self) -> int:
        """Ask for everything that the page loads first; returns its bytes. Raises RunError for what is refused."""
        total = 0
        for path in _FILES:
            status, _, body = self.ask(path)
            if status != 200:
                raise RunError(f"the dashboard answers {status} for '{path}': {body.decode(errors='replace').strip()}")
            total += len(body)
        return total

    def listen(self, origin: str | None = None) -> Iterator[dict[str, Any]]:
        """The feed's messages until its end; raises RunError when it is refused. origin: what it says it comes from."""
        with socket.create_connection(self._place, _TIMEOUT_S) as opened:
            protocol = WSConnection(ConnectionType.CLIENT)
            extra = [(b"origin", (self._origin if origin is None else origin).encode())]
            host = f"{self._place[0]}:{self._place[1]}"
            opened.sendall(protocol.send(Request(host=host, target=f"{self._path}live", extra_headers=extra)))
            text = ""
            while True:
                data = opened.recv(1 << 16)
                protocol.receive_data(data or None)
                for event in protocol.events():
                    if isinstance(event, RejectConnection):
                        raise RunError(f"the dashboard refuses its feed: status {event.status_code}")
                    if isinstance(event, CloseConnection):
                        return
                    if isinstance(event, TextMessage):
                        text += event.data
                        if event.message_finished:
                            yield json.loads(text)
                            text = ""
                    if isinstance(event, Ping):
                        opened.sendall(protocol.send(event.response()))
                if not data:
                    return


def watch(url: str) -> threading.Thread:
    """A viewer in a thread of its own, until the run ends."""

    def look() -> None:
        viewer = Viewer(url)
        viewer.load()
        for _ in viewer.listen():
            pass

    thread = threading.Thread(target=look, name="viewer", daemon=True)
    thread.start()
    return thread
