"""The Vagrantfile in Vagrant's own eyes, and what it promises. The provisioning: tests/netem/test_provision.py."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from commands import NOBODY, PROJECT

pytestmark = pytest.mark.examples

VAGRANTFILE = (PROJECT / "Vagrantfile").read_text()


def validated(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`vagrant validate` for a Vagrantfile of this text, with libvirt as the provider; none must run for that."""
    if shutil.which("vagrant") is None:
        reason = "no vagrant with its libvirt plugin: scripts/install --test installs both on Debian"
        if os.environ.get("CI") == "true":
            pytest.fail(f"examples skipped in CI: {reason}", pytrace=False)
        pytest.skip(reason)
    (folder / "Vagrantfile").write_text(text)
    return subprocess.run(
        ["vagrant", "validate"],
        cwd=folder,
        env=os.environ | {"HOME": str(folder), "VAGRANT_DEFAULT_PROVIDER": "libvirt"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_vagrant_takes_the_vagrantfile(tmp_path: Path) -> None:
    done = validated(VAGRANTFILE, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_vagrant_says_what_is_wrong(tmp_path: Path) -> None:
    done = validated(VAGRANTFILE.replace("machine.cpus", "machine.processors"), tmp_path)
    assert done.returncode != 0
    assert "shouldn't exist: processors" in done.stderr


def test_the_box_is_pinned_and_the_same_for_both_providers() -> None:
    assert re.search(r'box_version = "12\.\d{8}\.\d+"', VAGRANTFILE)
    blocks = re.findall(r'provider "(\w+)" do \|machine\|\n(.*?)\n  end', VAGRANTFILE, re.DOTALL)
    assert [name for name, _ in blocks] == ["libvirt", "virtualbox"]
    assert blocks[0][1] == blocks[1][1]
    assert re.findall(r"machine\.(\w+) = (\d+)", blocks[0][1]) == [("cpus", "2"), ("memory", "4096")]


def test_the_dashboard_is_forwarded_to_this_machine_alone() -> None:
    """By the same port, since the dashboard answers to its own address only."""
    (line,) = re.findall(r'network "forwarded_port".*', VAGRANTFILE)
    assert "guest: DASHBOARD_PORT, host: DASHBOARD_PORT" in line
    assert 'host_ip: "127.0.0.1"' in line


def test_it_runs_the_provisioning_script_of_the_copied_checkout() -> None:
    (script,) = re.findall(r"inline: \"#\{CHECKOUT\}/(.*?)\"", VAGRANTFILE)
    assert os.access(PROJECT / script, os.X_OK)


def test_provisioning_needs_root_and_says_so() -> None:
    user = NOBODY if os.geteuid() == 0 else None
    done = subprocess.run(
        [PROJECT / "scripts" / "provision"],
        user=user,
        extra_groups=None if user is None else [],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr == "scripts/provision: must be root. Run: sudo scripts/provision\n"


def test_a_copy_leaves_alone_what_was_made_in_the_machine() -> None:
    """Vagrant's own options would delete a student's work; what git ignores at the top is not copied either."""
    assert 'rsync__args: ["--archive", "--compress"]' in VAGRANTFILE
    ignored = (PROJECT / ".gitignore").read_text().split()
    (excluded,) = re.findall(r"rsync__exclude: (\[.*\])", VAGRANTFILE)
    for made in ("/.venv/", "/runs/", "/campaigns/", "/.frr/", "/.strongswan/"):
        assert made in ignored
        assert made in json.loads(excluded)
    assert "/labs/" in json.loads(excluded)  # where the lab book says to work
