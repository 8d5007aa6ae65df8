"""How far a run is: a bar on a terminal, a line now and then elsewhere. Always on standard error."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_LINE_EVERY_S: Final = 15.0
_STAGES: Final = {
    "booted": "building the network",
    "building": "building the network",
    "playing": "playing the schedule",
    "judging": "waiting for stragglers, judging",
}


class Follow:
    """Call it with each message of the runner."""

    def __init__(self, place: str) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._said_s = 0.0
        self._stage = "booting the guest" if place == "uml" else "starting"

    def __enter__(self) -> Follow:
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description:<32}"), BarColumn(), TextColumn("{task.completed:.0f} s"))
            self._bar = Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True)
            self._task = self._bar.add_task(self._stage, total=None)
            self._bar.start()
        else:
            self._console.print(self._stage)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, message: dict[str, Any]) -> None:
        stage = _STAGES.get(message.get("stage", ""), self._stage)
        if self._bar is not None and self._task is not None:
            if "progress" in message:
                self._bar.update(self._task, completed=message["progress"], total=message["of"])
            self._bar.update(self._task, description=stage)
        elif stage != self._stage:
            self._console.print(stage)
        elif message.get("progress", 0.0) - self._said_s >= _LINE_EVERY_S:
            self._said_s = message["progress"]
            self._console.print(f"played {message['progress']:.0f} of {message['of']:.0f} s")
        self._stage = stage
