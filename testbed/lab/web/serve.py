"""The dashboard's server: in the foreground for any run, or as a process of its own beside the run of its command.

python -m testbed.lab.web.serve RUN FD

FD: the socket it is to listen on. Standard input is lines of JSON: first {"address", "port", "token"}, then the
runner's messages as they come. The end of standard input is the end of the server: it never outlives the run's command.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import uvicorn

from testbed.ground.joining import LIVE
from testbed.lab import priority
from testbed.lab.web.app import make_app
from testbed.lab.web.feed import Feed
from testbed.lab.web.guard import Guard
from testbed.lab.web.listen import Listening
from testbed.lab.web.measured import measured
from testbed.plan.model import Plan, load

_MOST_LINE: Final = 1 << 20  # bytes of a message: a record of 64 paths and flows is a tenth
_GRACE_S: Final = 2  # for pages to take what waits


def foreground(plan: Plan, folder: Path, listening: Listening) -> None:
    """Show a run until Ctrl-C or SIGTERM: again, or live if it plays now."""
    live = (folder / LIVE).exists()
    feed = Feed(folder, live=live)
    following = [feed.follow_progress(plan)] if live else []
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(plan, folder, listening, feed, *following, feed.follow_faults()))


async def _serve(
    plan: Plan, folder: Path, listening: Listening, feed: Feed, *beside: Coroutine[Any, Any, None]
) -> None:
    """Serve until a signal, or until the last of `beside` has ended."""
    guarded = Guard(make_app(plan, folder, feed), listening.token, listening.hosts)
    config = uvicorn.Config(
        guarded,
        http="h11",
        ws="wsproto",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        ws_max_size=1_024,
        limit_concurrency=64,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = uvicorn.Server(config)
    tasks = [asyncio.ensure_future(one) for one in beside]

    def ended(_: object) -> None:
        feed.close()
        server.should_exit = True

    tasks[-1].add_done_callback(ended)
    try:
        await server.serve(sockets=[listening.socket])
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _told(plan: Plan, folder: Path, feed: Feed, lines: asyncio.StreamReader) -> None:
    """Pass on what the run's command tells, until it ends; with its end, all that was measured."""
    while line := await lines.readline():
        message = json.loads(line)
        if "ended" in message:
            message["measured"] = await asyncio.to_thread(measured, plan, folder)
        feed.tell(message)
    await asyncio.sleep(_GRACE_S / 4)  # for the last words to leave


async def _beside(folder: Path, descriptor: int) -> None:
    lines = asyncio.StreamReader(_MOST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    settings = json.loads(await lines.readline())
    listening = Listening(socket.socket(fileno=descriptor), settings["address"], settings["port"], settings["token"])
    feed = Feed(folder, live=True)
    plan = load(folder / "plan")
    await _serve(plan, folder, listening, feed, feed.follow_faults(), _told(plan, folder, feed, lines))


def main() -> None:
    """Serve beside a run."""
    priority.last()  # whatever the run leaves
    asyncio.run(_beside(Path(sys.argv[1]), int(sys.argv[2])))


if __name__ == "__main__":
    main()
