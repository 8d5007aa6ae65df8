"""What the unit tests of results share."""

from __future__ import annotations

import pytest
from run_fixture import Files, make_files


@pytest.fixture
def files() -> Files:
    """The files of a good run."""
    return make_files()
