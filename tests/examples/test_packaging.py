"""What people install: sdist and wheel hold what the project holds, the version is git's, what is installed works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from commands import PROJECT

pytestmark = pytest.mark.examples

PACKAGES = ("testbed/", "topologies/", "traffic/")
BASE = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools_scm"]["fallback_version"]
GIT = ["git", "-c", "safe.directory=*", "-c", "user.name=test", "-c", "user.email=test@example.org"]


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What builds, as pyproject.toml asks for it, in a folder of its own: a build gets nothing else."""
    folder = tmp_path_factory.mktemp("tools")
    required = tomllib.loads((PROJECT / "pyproject.toml").read_text())["build-system"]["requires"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", folder, *required],
        check=True,
    )
    return folder


def copied(folder: Path) -> Path:
    """The project's files as they are now, without git's."""
    listed = subprocess.run(
        [*GIT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
    return folder


def committed(folder: Path) -> Path:
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*GIT, *words], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = committed(copied(tmp_path_factory.mktemp("source")))
    subprocess.run([*GIT, "tag", "v9.8.7"], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def dist(tools: Path, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist, and the wheel made from it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source],
        env=os.environ | {"PYTHONPATH": str(tools)}, check=True, capture_output=True,
    )  # fmt: skip
    return folder


def project_files(source: Path) -> set[str]:
    listed = subprocess.run([*GIT, "ls-files"], cwd=source, capture_output=True, text=True, check=True).stdout
    return set(listed.splitlines())


def test_the_version_is_that_of_the_tag(dist: Path) -> None:
    assert sorted(path.name for path in dist.iterdir()) == [
        "satcom_testbed-9.8.7-py3-none-any.whl",
        "satcom_testbed-9.8.7.tar.gz",
    ]


def test_the_wheel_has_every_file_of_the_packages(dist: Path, source: Path) -> None:
    wanted = {name for name in project_files(source) if name.startswith(PACKAGES)}
    assert {"testbed/report/report.html.j2", "testbed/lab/init.sh", "topologies/starlink_italy.py"} <= wanted
    with zipfile.ZipFile(dist / "satcom_testbed-9.8.7-py3-none-any.whl") as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert wanted - held == set(), "not in the wheel"
    assert held - wanted == set(), "in the wheel, and not the project's"


def test_the_sdist_has_every_file_of_the_project(dist: Path, source: Path) -> None:
    with tarfile.open(dist / "satcom_testbed-9.8.7.tar.gz") as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert project_files(source) - held == set()


def test_what_is_installed_from_the_wheel_works(dist: Path, tmp_path: Path) -> None:
    """In a folder of its own, before everything else on the path; the dependencies are this environment's."""
    wheel = dist / "satcom_testbed-9.8.7-py3-none-any.whl"
    place = tmp_path / "installed"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", place, wheel], check=True)
    environment = os.environ | {"PYTHONPATH": str(place), "PYTHONSAFEPATH": "1"}

    def said(*words: str | Path) -> str:
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    assert said(place / "bin" / "testbed", "--version") == "testbed, version 9.8.7\n"
    where = said(sys.executable, "-c", "import testbed, traffic; print(testbed.__file__, testbed.__version__)")
    assert where == f"{place}/testbed/__init__.py 9.8.7\n"
    listed = {line.split()[0] for line in said(place / "bin" / "testbed", "topologies").splitlines()}
    assert {"starlink-italy", "terrestrial", "iris2"} <= listed
    planned = said(place / "bin" / "testbed", "plan", "terrestrial", "--duration", "1", "--format", "json")
    assert '"satcom-testbed": "9.8.7"' in planned
    own = (
        f"import sys\n\ndef test_it(): assert sys.modules['testbed.pytest_plugin'].__file__.startswith({str(place)!r})"
    )
    (tmp_path / "test_own.py").write_text(own)
    assert "1 passed" in said(sys.executable, "-m", "pytest", "-q", "-W", "error", "test_own.py")


@pytest.mark.parametrize("git", ["a clone without tags", "git's folder, but no git", "no git at all"])
def test_it_is_installed_without_tags_and_without_git(git: str, tools: Path, tmp_path: Path) -> None:
    """What `pip install -e .` does first; a failure to find a version is a failure there."""
    source = copied(tmp_path / "source")
    if git != "no git at all":
        committed(source)
    folder = tmp_path / "metadata"
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tools)}
    if git != "a clone without tags":
        environment["PATH"] = str(folder)
        assert shutil.which("git", path=environment["PATH"]) is None
    code = f"from setuptools.build_meta import *; print(prepare_metadata_for_build_editable({str(folder)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    metadata = (folder / done.stdout.split()[-1] / "METADATA").read_text()
    version = next(line for line in metadata.splitlines() if line.startswith("Version: ")).removeprefix("Version: ")
    assert version.startswith(BASE.removesuffix(".dev0") + ".dev")
    assert ("+g" in version) == (git == "a clone without tags")


def test_the_citation_says_what_its_format_demands() -> None:
    """Citation File Format 1.2.0, schema guide: the keys it requires, and those of a person or an entity."""
    told = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(told)
    assert told["cff-version"] == "1.2.0"
    assert told["type"] == "software"
    assert told["license"] == project["license"]
    assert told["title"].startswith(project["name"])
    assert all({"name", "family-names", "alias"} & set(author) for author in told["authors"])
    assert all(isinstance(word, str) for word in told["keywords"])
    assert "version" not in told, "the version is git's: docs/release.md"
