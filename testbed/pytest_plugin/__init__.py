"""The pytest plug-in: a topology for a test, in a plan, in a run, or as a live network with real netem.

    @pytest.mark.topology("starlink-italy", duration_s=20)
    def test_rome_reaches_its_data_centre(satcom_network):
        assert " 0% packet loss" in satcom_network["rome"].cmd("ping -c3 198.51.100.10")

Where this process has no netem or is not root, tests that need it (`satcom_network`, or marked `satcom_netem`) are run
in one guest for the session, a user-mode kernel, and their reports come back here. docs/pytest.md.

It imports next to nothing until a test asks for it: people's other tests must not become slower.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from mininet.net import Mininet

    from testbed.api import Plan, Results
    from testbed.lab.place import Place, Where
    from testbed.pytest_plugin.remote import RemoteTests

ITEMS: Final = "TESTBED_PYTEST_ITEMS"
"""Environment variable of the pytest in the guest: the file that lists what it is to collect."""

IN_GUEST: Final = bool(os.environ.get("TESTBED_GUEST"))

RUN_OPTIONS: Final = ("events", "pcap", "readback", "speed")
"""Of the marker's words these go to `run`, the others to `make_plan`."""

_MARKERS: Final = (
    "topology(name, *, duration_s=60, start=None, **parameters): what the satcom_ fixtures plan, as testbed.make_plan "
    "takes it; events, pcap, readback and speed as testbed.run takes them",
    "satcom_netem: needs root and netem; runs here, or in the guest",
)

place_key: pytest.StashKey[Place] = pytest.StashKey()
remote_key: pytest.StashKey[RemoteTests] = pytest.StashKey()
failure_key = pytest.StashKey[str]()
plan_key = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("satcom", "emulated satellite networks").addoption(
        "--satcom-where",
        choices=("auto", "native", "uml"),
        default="auto",
        help="where tests with netem run: in this process (root, a kernel with netem), in the user-mode kernel, or "
        "wherever one of the two can (default)",
    )


def pytest_configure(config: pytest.Config) -> None:
    for line in _MARKERS:
        config.addinivalue_line("markers", line)
    if IN_GUEST and ITEMS in os.environ:
        from testbed.pytest_plugin.inside import Inside

        config.pluginmanager.register(Inside(config), "satcom-inside")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests for the guest come last: what others have set up here can then be taken down in order."""
    netem = [item for item in items if _needs_netem(item)]
    if not netem or IN_GUEST or config.option.collectonly:
        return
    place = _place(config)
    if place is None:
        return
    if place == "uml" and config.getoption("usepdb", False):
        raise pytest.UsageError("--pdb does not reach into the guest: leave it out, or --satcom-where native as root")
    config.stash[place_key] = place
    if place == "uml":
        items[:] = [item for item in items if item not in set(netem)] + netem


def _place(config: pytest.Config) -> Place | None:
    """Where tests with netem run; None where nothing can: each of them then fails with the reason."""
    from testbed.ground.errors import MachineError
    from testbed.lab.place import choose

    try:
        return choose(config.option.satcom_where)
    except MachineError as error:
        config.stash[failure_key] = str(error)
        return None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Have a test for the guest run there. What goes wrong on the way fails in its set-up."""
    if not _needs_netem(item) or item.config.stash.get(place_key, None) != "uml":
        return None
    from testbed.ground.errors import TestbedError
    from testbed.pytest_plugin.remote import RemoteTests

    config = item.config
    try:
        if remote_key not in config.stash:
            tests = [one for one in item.session.items if _needs_netem(one)]
            config.stash[remote_key] = RemoteTests(config, tests)
        config.stash[remote_key].run(item, nextitem, _asked(item))
    except (TestbedError, TypeError) as error:
        item.stash[failure_key] = str(error)
        return None
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if failure_key in item.stash:
        pytest.fail(item.stash[failure_key], pytrace=False)
    if _needs_netem(item) and failure_key in item.config.stash:
        pytest.fail(item.config.stash[failure_key], pytrace=False)


def _needs_netem(item: pytest.Item) -> bool:
    return "satcom_network" in getattr(item, "fixturenames", ()) or item.get_closest_marker("satcom_netem") is not None


def _asked(item: pytest.Item) -> tuple[str | Path, dict[str, Any]] | None:
    """What the test's marker names, and its words; None without one."""
    marker = item.get_closest_marker("topology")
    if marker is None:
        return None
    if len(marker.args) != 1:
        from testbed.ground.errors import InputError

        raise InputError('@pytest.mark.topology takes one topology: write it like topology("starlink-italy")')
    return marker.args[0], dict(marker.kwargs)


@pytest.fixture
def satcom_plan(request: pytest.FixtureRequest) -> Plan:
    """The plan of the topology that the test is marked with."""
    made = request.node.stash.get(plan_key, None)
    if made is not None:  # on the host: planning is slow in here
        from testbed.plan.model import load

        return load(made)
    asked = _asked(request.node)
    if asked is None:
        pytest.fail('mark the test with what is to be emulated: @pytest.mark.topology("starlink-italy")', pytrace=False)
    from testbed.api import make_plan

    topology, words = asked
    return make_plan(topology, **{name: value for name, value in words.items() if name not in RUN_OPTIONS})


@pytest.fixture
def satcom_run(request: pytest.FixtureRequest, satcom_plan: Plan, tmp_path: Path) -> Results:
    """What came of a run of that plan, audited and judged. Whether it passed is for the test to say."""
    from testbed.api import run

    _, words = _asked(request.node) or ("", {})
    options = {name: value for name, value in words.items() if name in RUN_OPTIONS}
    where: Where = "native" if IN_GUEST else request.config.option.satcom_where
    return run(satcom_plan, where=where, out=tmp_path / "run", **options)


@pytest.fixture
def satcom_network(satcom_plan: Plan) -> Iterator[Mininet]:
    """Mininet's network of that plan, the schedule playing: `satcom_network["rome"].cmd("ping -c3 …")`."""
    from testbed.lab.network import network

    with network(satcom_plan) as net:
        yield net
