"""Current orbital elements from CelesTrak, kept in a cache.

CelesTrak updates its sets every two hours and shuts out those who fetch the same set more often
(https://celestrak.org/NORAD/documentation/gp-data-formats.php). OMM in JSON is asked for: two-line sets lack the
satellites catalogued since July 2026, whose numbers have six digits, and a table that is cut off at a line's end would
go unnoticed.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from pathlib import Path

from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import InputError, MachineError
from testbed.ground.units import format_utc
from testbed.orbits.catalogue import parse_catalogue

CELESTRAK_URL = "https://celestrak.org/NORAD/elements/gp.php"
"""CelesTrak's query for general perturbations elements."""

MINIMUM_AGE_S = 2 * 3600
"""Seconds for which a set is not fetched again (CelesTrak's rule)."""

_TIMEOUT_S = 30.0


def fetch(group: str, folder: Path, *, base_url: str = CELESTRAK_URL, now: float | None = None) -> Path:
    """The file in `folder` with CelesTrak's elements of `group` ('starlink', 'oneweb', 'active', ...).

    Downloads them unless the last download is less than two hours old; `describe` tells which it was. What came
    replaces the old file in one step, and only when it reads as a catalogue. `now`: seconds since 1970, for tests.
    Raises InputError for a bad group or URL, CatalogueError when the reply is no catalogue, MachineError when CelesTrak
    cannot be reached or refuses.
    """
    if not re.fullmatch("[A-Za-z0-9_-]{1,40}", group):
        raise InputError(f"group '{group}' is not a CelesTrak group: write a name like starlink or oneweb")
    if not base_url.startswith(("https://", "http://")):
        raise InputError(f"CelesTrak address '{base_url}' is not an http or https URL")
    now = time.time() if now is None else now
    path = folder / f"{group.lower()}.json"
    age_s = _age_s(path, now)
    if age_s is not None and 0 <= age_s < MINIMUM_AGE_S:
        return path
    url = f"{base_url}?{urllib.parse.urlencode({'GROUP': group, 'FORMAT': 'json'})}"
    mend = "or give elements you have with --catalogue" + (f" (the last download: {path})" if age_s is not None else "")
    data = _download(url, mend)
    parse_catalogue(data, f"reply of {url}")
    _replace(path, data, now)
    return path


def describe(path: Path, *, now: float | None = None) -> str:
    """One line for people: how old the cached file is and when CelesTrak may be asked for it again."""
    now = time.time() if now is None else now
    downloaded = path.stat().st_mtime
    again = format_utc(int(downloaded + MINIMUM_AGE_S) * NS_PER_S)
    return (
        f"{path.name}: downloaded {max(0.0, now - downloaded) / 60:.0f} min ago from CelesTrak, which allows a set to "
        f"be fetched once in two hours: again from {again}"
    )


def _age_s(path: Path, now: float) -> float | None:
    """Seconds since the file was downloaded; None when there is none."""
    try:
        return now - path.stat().st_mtime
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MachineError(f"{path}: cannot be read ({error.strerror}): choose another cache folder") from None


def _download(url: str, mend: str) -> bytes:
    request = urllib.request.Request(url, headers={"User-Agent": "satcom-testbed"})  # noqa: S310 - fetch() checks it
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as reply:  # noqa: S310 - the same
            data: bytes = reply.read()
            return data
    except urllib.error.HTTPError as error:
        with error:
            said = " ".join(error.read(300).decode("utf-8", "replace").split())
        raise MachineError(
            f"{url}: refused with {error.code} {error.reason} ('{said}'): wait two hours, {mend}"
        ) from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise MachineError(f"{url}: cannot be reached ({reason}): check the network, {mend}") from None


def _replace(path: Path, data: bytes, now: float) -> None:
    """Write beside, then rename: a reader sees the old file or the new one, never a part."""
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
            temporary = file.name
            file.write(data)
        Path(temporary).chmod(0o644)
        os.utime(temporary, (now, now))
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise MachineError(f"{path}: cannot be written ({error.strerror}): choose another cache folder") from None
