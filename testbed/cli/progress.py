"""How a run is getting on: a live table on a terminal, a line now and then elsewhere. Always on standard error."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final

from rich.console import Console
from rich.live import Live

from testbed.cli.livetable import LiveTable

_LINE_EVERY_S: Final = 15.0
_REFRESHES_PER_S: Final = 2
_STAGES: Final = {
    "booted": "building the network",
    "building": "building the network",
    "playing": "playing the schedule",
    "judging": "waiting for stragglers, judging",
}


class Follow:
    """Call it with each message of the runner. `plain`: lines, on a terminal too."""

    def __init__(self, place: str, *, plain: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._plain = plain or not self._console.is_terminal or self._console.is_dumb_terminal
        self._table = LiveTable()
        self._live = Live(self._table, console=self._console, transient=True, refresh_per_second=_REFRESHES_PER_S)
        self._said_s = 0.0
        self._stage = self._table.stage = "booting the guest" if place == "uml" else "starting"

    def __enter__(self) -> Follow:
        if self._plain:
            self._console.print(self._stage)
        else:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._plain:
            self._live.stop()

    def __call__(self, message: dict[str, Any]) -> None:
        stage = _STAGES.get(message.get("stage", ""), self._stage)
        if not self._plain:
            self._table.stage = stage
            if message.get("stage") == "judging":
                self._table.over()
            if "live" in message:
                self._table.take(message["live"])
        elif stage != self._stage:
            self._console.print(stage)
        elif message.get("progress", 0.0) - self._said_s >= _LINE_EVERY_S:
            self._said_s = message["progress"]
            self._console.print(f"played {message['progress']:.0f} of {message['of']:.0f} s")
        self._stage = stage
