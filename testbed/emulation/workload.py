"""The declared flows of a plan, in a process of their own beside the player."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from testbed.emulation.wiring import Wiring


class Workload:
    """Placeholder."""

    def __init__(self, wiring: Wiring, folder: Path) -> None:
        pass

    def __enter__(self) -> Workload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def start(self, realtime_ns: int) -> None:
        pass

    def finish(self, *, interrupted: bool) -> None:
        pass
