"""A measuring function in a process of its own, natively or in the guest: arguments and answer are JSON.

python -m testbed.bench.inside MODULE FUNCTION FOLDER
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testbed.ground.errors import RunError
from testbed.lab import identity
from testbed.lab.guest import Guest, Job
from testbed.lab.launch import project
from testbed.lab.place import Place

Answer = dict[str, Any]


def call(function: Callable[..., Answer], place: Place, folder: Path, *, memory_mb: int = 2048, **asked: Any) -> Answer:
    """`function(folder=…, **asked)` at a place; `folder` is where it may write. Raises RunError when it fails."""
    (folder / "ask.json").write_text(json.dumps(asked))
    command = [sys.executable, "-m", __name__, function.__module__, function.__name__, str(folder)]
    log = folder / "inside.log"
    with log.open("wb") as output:
        if place == "native":
            code = subprocess.run(command, stdout=output, stderr=output, cwd=project(), check=False).returncode
        else:
            user = identity.ordinary_user(folder)
            with Guest(Job(command, project(), folder, memory_mb=memory_mb), user) as guest:
                code = guest.serve(lambda _: None, output.write)
    if code:
        words = log.read_text(errors="replace").strip().splitlines()
        last = words[-1] if words else "it said nothing"
        raise RunError(f"{function.__name__} failed ({place}, exit code {code}): {last}")
    answer: Answer = json.loads((folder / "answer.json").read_text())
    return answer


def main() -> None:
    """Look the function up, call it, keep its answer."""
    module, name, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    function: Callable[..., Answer] = getattr(importlib.import_module(module), name)
    answer = function(folder=folder, **json.loads((folder / "ask.json").read_text()))
    (folder / "answer.json").write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
