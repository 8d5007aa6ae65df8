"""What happens in a run, told to every page that listens; who comes later is told first what it has missed."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from testbed.ground.joining import read_progress
from testbed.lab.web.measured import measured, report
from testbed.plan.faults import LOG
from testbed.plan.model import Plan

MOST_PAST: Final = 3_600
"""Assumption: a page draws the measured delays of the last hour, one a second."""

_MOST_WAITING: Final = 500  # messages that a page has not taken; then it is cut off
_LOOK_S: Final = 0.5  # at the faults' log; twice as often at the run's own record

Message = dict[str, Any]


class Feed:
    """Messages to pages. `live`: does the run play, or is it shown again?"""

    def __init__(self, folder: Path, *, live: bool) -> None:
        self._folder, self._live = folder, live
        self._listening: set[asyncio.Queue[str | None]] = set()
        self._newest: dict[str, Message] = {}  # of each kind of which the newest alone counts
        self._past: deque[tuple[float, list[float | None]]] = deque(maxlen=MOST_PAST)
        self._faults: list[Message] = []
        self._read = 0  # bytes of the faults' log

    @property
    def listeners(self) -> int:
        """Pages that listen now."""
        return len(self._listening)

    def tell(self, message: Message) -> None:
        """Pass on a message of the runner, as it came."""
        if "live" in message:
            live = message["live"]
            self._past.append((live["time_s"], [path["measured_ms"] for path in live["paths"]]))
        for kind in ("stage", "live"):
            if kind in message:
                self._newest[kind] = message
        if "ended" in message:  # who comes now is shown it again
            self._live = False
            self._newest.clear()
        self._send(message)

    async def follow_faults(self) -> None:
        """Tell each line that is added to the faults' log, until cancelled."""
        while True:
            for line in self._new_lines():
                self._faults.append(line)
                self._send({"fault": line})
            await asyncio.sleep(_LOOK_S)

    async def follow_progress(self, plan: Plan) -> None:
        """Tell each record of a run that another process plays, and its end, until cancelled."""
        told_s = -1.0
        while self._live:
            record = await asyncio.to_thread(read_progress, self._folder)
            if record is not None and record["time_s"] != told_s:
                told_s = record["time_s"]
                self.tell({"progress": told_s, "of": record["of_s"], "live": record})
            elif record is None and (found := report(self._folder)) is not None:
                everything = await asyncio.to_thread(measured, plan, self._folder)
                self.tell({"ended": found["verdict"], "measured": everything})
            await asyncio.sleep(_LOOK_S / 2)

    async def listen(self) -> AsyncIterator[str]:
        """All that a page is told, from what it has missed to the end of the feed."""
        queue: asyncio.Queue[str | None] = asyncio.Queue(_MOST_WAITING)
        first = {"mode": "live" if self._live else "replay", "past": list(self._past), "faults": self._faults}
        missed = [json.dumps(message) for message in (first, *self._newest.values())]
        self._listening.add(queue)  # before anything is sent: nothing falls between
        try:
            for one in missed:
                yield one
            while (line := await queue.get()) is not None:
                yield line
        finally:
            self._listening.discard(queue)

    def close(self) -> None:
        """End every page's feed once it has taken what waits."""
        for queue in self._listening:
            if not queue.full():
                queue.put_nowait(None)

    def _send(self, message: Message) -> None:
        line = json.dumps(message)
        for queue in list(self._listening):
            if queue.qsize() >= _MOST_WAITING - 1:
                self._listening.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(line)

    def _new_lines(self) -> list[Message]:
        """Whole lines since the last look."""
        try:
            with (self._folder / LOG).open("rb") as log:
                log.seek(self._read)
                data = log.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return [json.loads(line) for line in whole.splitlines()]
