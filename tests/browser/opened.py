"""A page that a browser has open, and what it complained of and asked for meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

WIDTHS = {"desk": 1280, "phone": 400}
"""CSS pixels: the two widths at which a page must be readable."""


@dataclass
class Opened:
    """A page that is open, `page` as Playwright has it, with what happened since it was asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings on the console, errors that nobody caught, requests that failed or were refused."""
    requests: list[str] = field(default_factory=list)
    """Every address asked for, sockets included; not data: and blob:, which are in the page."""

    def beyond(self, *origins: str) -> list[str]:
        """The requests to anything that does not begin with one of `origins`."""
        return [url for url in self.requests if not url.startswith(origins)]

    def listen(self) -> None:
        """Collect from now on."""
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.on("websocket", lambda socket: self._asked(socket.url))
        self.page.on("requestfailed", lambda one: self.complaints.append(f"failed: {one.url}: {one.failure}"))
        self.page.on("response", self._answered)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning", "assert"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _asked(self, url: str) -> None:
        if not url.startswith(("data:", "blob:")):
            self.requests.append(url)

    def _answered(self, response: Any) -> None:
        if response.status >= 400:
            self.complaints.append(f"status {response.status}: {response.url}")


Opener = Callable[..., Opened]
