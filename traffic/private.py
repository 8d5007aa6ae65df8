"""Files for their owner's eyes alone: keys, secrets of connections."""

from __future__ import annotations

import os
from pathlib import Path

from traffic.errors import SessionError


def write_private(path: Path, content: str | bytes) -> None:
    """Write a new file, mode 0600; raises SessionError if it exists or cannot be made."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise SessionError(f"{path}: {error.strerror}; keys are never written over others") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
