"""The pages in a real browser: the run's report."""

from __future__ import annotations

from pathlib import Path

import pytest
from opened import WIDTHS, Opener
from readable import problems
from run_fixture import make_attacked_files

from testbed.report.results import write_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_report(make_attacked_files().write(folder))
    return folder / "report.html"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_the_report_can_be_read(open_page: Opener, report: Path, width: int, dark: bool) -> None:
    opened = open_page(report.as_uri(), width=width, dark=dark)
    assert opened.complaints == []
    assert opened.beyond(report.as_uri()) == []
    assert problems(opened.page) == []
