"""A browser for tests: Debian's Chromium, driven by Playwright. What to ask of a page: `opened.py`, `readable.py`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from opened import WIDTHS, Opened, Opener

TIMEOUT_MS = 60_000.0
"""For anything that Playwright waits for: generous, as no test may fail because a machine is slow."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Playwright's Browser, one per file of tests, so that none is left running beside the tests that measure.

    Chromium refuses to make its sandbox as root. What it opens here are the project's own pages alone.
    """
    missing = missing_browser()
    if missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"tier browser skipped in CI: {missing}", pytrace=False)
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments, timeout=TIMEOUT_MS
        )
        yield chromium
        chromium.close()


def missing_browser() -> str:
    """What the tests lack, and the mend; empty if nothing."""
    if shutil.which("chromium") is None:
        return "no Chromium; run: apt-get install --no-install-recommends chromium"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "no Playwright; run: scripts/install --test"
    return ""


@pytest.fixture
def open_page(browser: Any) -> Iterator[Opener]:
    """open_page(url, width=1280, dark=False) opens a page in a window of its own and waits until all of it is loaded;
    more named arguments go to Playwright's `new_context`."""
    contexts = []

    def open_one(url: str, *, width: int = WIDTHS["desk"], dark: bool = False, **more: Any) -> Opened:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", **more
        )
        context.set_default_timeout(TIMEOUT_MS)
        contexts.append(context)
        opened = Opened(context.new_page())
        opened.listen()
        opened.page.goto(url, wait_until="load")
        return opened

    yield open_one
    for context in contexts:
        context.close()
