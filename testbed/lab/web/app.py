"""The dashboard's addresses: the page and its files, the plan, the positions, the feed, and faults."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from testbed.ground.errors import InputError, PlanError, TestbedError
from testbed.lab.inject import inject
from testbed.lab.web import sky
from testbed.lab.web.feed import Feed
from testbed.lab.web.guard import refuse
from testbed.lab.web.measured import measured
from testbed.lab.web.scene import scene
from testbed.plan.model import Plan
from testbed.report import atlas

STATIC: Final = Path(__file__).with_name("static")
MOST_BODY: Final = 4_096
"""Bytes of a fault: the longest that has a meaning is a tenth of that."""

MOST_SAMPLES: Final = 8
"""Of all satellites' positions, in one answer: 0.5 MB for ten thousand."""


def make_app(plan: Plan, folder: Path, feed: Feed) -> Starlette:
    """The application of one run."""
    page = _Page(plan, folder, feed)
    return Starlette(
        routes=[
            Route("/", page.index),
            Route("/scene.json", page.scene),
            Route("/measured.json", page.measured),
            Route("/coast.json", page.coast),
            Route("/sky", page.sky),
            Route("/fault", page.fault, methods=["POST"]),
            WebSocketRoute("/live", page.live),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
    )


class _Page:
    def __init__(self, plan: Plan, folder: Path, feed: Feed) -> None:
        self._plan, self._folder, self._feed = plan, folder, feed
        self._scene = json.dumps(scene(plan, sky.read_sky(folder)), separators=(",", ":")).encode()

    async def index(self, _request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def scene(self, _request: Request) -> Response:
        return Response(self._scene, media_type="application/json")

    async def coast(self, _request: Request) -> Response:
        return FileResponse(Path(atlas.__file__).with_name("coastline.json"))

    async def measured(self, _request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(measured, self._plan, self._folder))

    async def sky(self, request: Request) -> Response:
        """`from`: the first sample; `count`: how many."""
        try:
            first, count = int(request.query_params["from"]), int(request.query_params["count"])
        except (KeyError, ValueError):
            return refuse(InputError("sky takes 'from' and 'count', two numbers"))
        if not (self._folder / sky.POSITIONS).exists():
            return refuse(InputError("no positions here"), 404)
        body = await run_in_threadpool(sky.samples, self._folder, first, min(count, MOST_SAMPLES))
        return Response(body, media_type="application/octet-stream")

    async def fault(self, request: Request) -> Response:
        """An entry as `testbed event` makes it, judged by the same rules."""
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MOST_BODY:
                return refuse(PlanError(f"event: more than {MOST_BODY} bytes"), 413)
        try:
            entry: Any = json.loads(body)
            if isinstance(entry, dict) and "at" in entry:
                raise InputError("event: 'at' is for a file of faults: a fault from the page begins at once")
            told = await run_in_threadpool(inject, self._folder, entry, self._plan)
        except ValueError:
            return refuse(InputError("event: not JSON"))
        except TestbedError as error:
            return refuse(error, 400 if isinstance(error, InputError) else 503)
        return JSONResponse(told)

    async def live(self, socket: WebSocket) -> None:
        """The feed, until the page goes or the feed ends."""
        await socket.accept()
        sending = asyncio.ensure_future(self._send(socket))
        try:
            while True:
                await socket.receive_text()  # nothing is asked of a page: only its going is waited for
        except (WebSocketDisconnect, RuntimeError):  # it went, or the feed ended and the socket was closed here
            pass
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, WebSocketDisconnect):
                await sending

    async def _send(self, socket: WebSocket) -> None:
        async for line in self._feed.listen():
            await socket.send_text(line)
        await socket.close(1001)
