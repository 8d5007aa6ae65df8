"""The container's recipe and the samples of CI jobs. Building and running it takes minutes: scripts/container."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from commands import PROJECT

from testbed.cli import main

pytestmark = pytest.mark.examples

RECIPE = (PROJECT / "Containerfile").read_text()
SAMPLES = {
    "github-actions.yml": ["vendor.github-workflows"],
    "gitlab-ci.yml": ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"],
}


def copied() -> list[str]:
    """What the Containerfile copies from the checkout."""
    return [source for line in re.findall(r"^COPY (.*)", RECIPE, re.MULTILINE) for source in line.split()[:-1]]


def test_what_is_copied_is_there_and_is_let_through() -> None:
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    let_through = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert sorted(copied()) == sorted(let_through)
    for source in copied():
        assert (PROJECT / source).exists(), source


def test_all_that_the_installation_needs_is_copied() -> None:
    """The image is made by scripts/install itself; whatever that and pyproject.toml name must be there."""
    assert re.search(r"^RUN scripts/install\b", RECIPE, re.MULTILINE)
    install = (PROJECT / "scripts" / "install").read_text()
    for sourced in re.findall(r"^\. (\S+)", install, re.MULTILINE):
        assert sourced in copied()
    project = (PROJECT / "pyproject.toml").read_text()
    (packages,) = re.findall(r"^include = (\[.*\])", project, re.MULTILINE)
    for package in json.loads(packages):
        assert any(fnmatch(source, package) for source in copied()), package
    (readme,) = re.findall(r'^readme = "(.*)"', project, re.MULTILINE)
    assert readme in copied()


def commands(text: str) -> list[list[str]]:
    """Every `testbed …` command in a text, its words."""
    return [shlex.split(found) for found in re.findall(r"\btestbed ((?:doctor|run)\b[^\n#`]*)", text)]


@pytest.mark.parametrize("name", ["Containerfile", "docs/container.md", *(f"docs/ci/{name}" for name in SAMPLES)])
def test_every_command_shown_is_one(name: str) -> None:
    found = commands((PROJECT / name).read_text())
    assert found
    for words in found:
        shown = CliRunner().invoke(main.testbed, [*words, "--help"])
        assert shown.exit_code == 0, words
        help_text = shown.output
        for option in (word for word in words if word.startswith("--")):
            assert option in help_text, f"{option} in {words}"


@pytest.mark.parametrize(("name", "schema"), SAMPLES.items())
def test_a_sample_keeps_to_the_schema_of_its_service(name: str, schema: list[str], tmp_path: Path) -> None:
    """The services' own schemas, as check-jsonschema brings them; a misspelt word in the sample is found."""
    sample = (PROJECT / "docs" / "ci" / name).read_text()
    assert checked(PROJECT / "docs" / "ci" / name, schema) == ""
    wrong = tmp_path / name
    wrong.write_text(re.sub(r"^( +)(steps|script):", r"\1scrpt:", sample, flags=re.MULTILINE))
    assert wrong.read_text() != sample
    assert "scrpt" in checked(wrong, schema)


def checked(file: Path, schema: list[str]) -> str:
    """What check-jsonschema has against a file; nothing if it is right."""
    command = [sys.executable, "-m", "check_jsonschema", "--color", "never", "--builtin-schema", *schema, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def bundled(rights: str) -> dict[str, Any]:
    """The OCI bundle that scripts/bundle.py makes of a minimal one."""
    spec = importlib.util.spec_from_file_location("bundle", PROJECT / "scripts" / "bundle.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert rights in module.RIGHTS
    mounts = [{"destination": "/sys", "options": ["nosuid", "ro"]}, {"destination": "/sys/fs/cgroup", "options": []}]
    minimal = {"process": {"rlimits": [{}]}, "mounts": mounts, "linux": {"maskedPaths": ["/proc/kcore"]}}
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_CHROOT"]}},
            {"names": ["chroot"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_CHROOT"]}},
            {"names": ["breakpoint"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
        ],
    }
    made: dict[str, Any] = module.configured(minimal, profile, rights, "/bin", ["testbed", "doctor"])
    return made


def test_a_container_gets_the_rights_that_an_engine_gives() -> None:
    none, usual, privileged = (bundled(rights) for rights in ("none", "usual", "privileged"))
    assert none["process"]["user"]["uid"] == 1000
    assert none["process"]["noNewPrivileges"]
    assert none["process"]["capabilities"]["effective"] == []
    assert len(usual["process"]["capabilities"]["bounding"]) == 14  # as Docker has it
    assert "CAP_NET_ADMIN" not in usual["process"]["capabilities"]["effective"]
    allowed = [(rule["names"], rule["action"][9:]) for rule in usual["linux"]["seccomp"]["syscalls"]]
    assert allowed == [(["read"], "ALLOW"), (["chroot"], "ALLOW")]
    allowed = [(rule["names"], rule["action"][9:]) for rule in none["linux"]["seccomp"]["syscalls"]]
    assert allowed == [(["read"], "ALLOW"), (["chroot"], "ERRNO")]
    assert "seccomp" not in privileged["linux"]
    assert privileged["mounts"] == [{"destination": "/sys", "options": ["nosuid"]}]
    for made in (none, usual, privileged):
        assert "rlimits" not in made["process"]
