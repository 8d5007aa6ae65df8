"""Who may talk to the dashboard: whoever has the token, by this machine's own name, from the page itself.

The token is the first part of every path. The Host header keeps out pages whose name was made to lead here (DNS
rebinding), the Origin header those that try from elsewhere in the same browser.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Guard:
    """Lets pass what may, the token taken off its path; everything else gets status 403 and one line."""

    def __init__(self, app: ASGIApp, token: str, hosts: Collection[str]) -> None:
        self._app, self._token = app, token.encode()
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge one request or websocket."""
        headers = Headers(scope=scope)
        _, first, rest = (*scope["path"].split("/", 2), "", "")[:3]
        refused = self._refusal(scope, headers, first)
        if refused and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if refused:
            await PlainTextResponse(refused + "\n", 403)(scope, receive, _with_headers(send))
            return
        answer: ASGIApp = self._app
        if scope["path"].count("/") < 2:  # the page's relative addresses need the last slash
            answer = RedirectResponse(f"/{first}/")
        inner = {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode()}
        await answer(inner, receive, send if scope["type"] == "websocket" else _with_headers(send))

    def _refusal(self, scope: Scope, headers: Headers, token: str) -> str:
        """Why not; empty if it may pass."""
        if headers.get("host", "") not in self._hosts:
            return "this page answers to its own address only: open the one that testbed printed"
        if not secrets.compare_digest(token.encode(), self._token):
            return "wrong or missing token: open the address that testbed printed"
        acts = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if acts and headers.get("origin", "").removeprefix("http://") not in self._hosts:
            return "only the page itself may ask for this"
        return ""


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_HEADERS)
        await send(message)

    return sending


def refuse(error: Exception, status: int = 400) -> Response:
    """One line that says what was wrong."""
    return PlainTextResponse(f"{error}\n", status)
