"""Whom the guest runs as: an ordinary user where the caller is root and one can read what the guest needs."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NOBODY: Final = 65534  # Debian policy 9.2.2: nobody, nogroup


@dataclass(frozen=True)
class User:
    """A user and group by number."""

    uid: int
    gid: int


def ordinary_user(run_dir: Path) -> User | None:
    """The user to drop to: first the one who called sudo, then nobody.

    None if the caller is no root, or if neither can read this Python and reach `run_dir`.
    """
    if os.geteuid() != 0:
        return None
    candidates = [User(_NOBODY, _NOBODY)]
    if os.environ.get("SUDO_UID", "0") != "0":
        candidates.insert(0, User(int(os.environ["SUDO_UID"]), int(os.environ.get("SUDO_GID", _NOBODY))))
    for user in candidates:
        if _can(user, run_dir):
            return user
    return None


def _can(user: User, run_dir: Path) -> bool:
    """Can this user start the testbed's own Python and enter the run directory's parent?"""
    trial = f"import testbed, os; os.chdir({str(run_dir.parent)!r})"
    try:
        done = subprocess.run(
            [sys.executable, "-c", trial],
            user=user.uid,
            group=user.gid,
            extra_groups=[],
            cwd="/",
            env={"PATH": os.defpath},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except PermissionError:  # not even start it
        return False
    return done.returncode == 0


def give(folder: Path, user: User) -> None:
    """Make `user` the owner of a folder and all in it, links themselves and never what they point at."""
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)
