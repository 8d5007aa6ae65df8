"""Tests that need real netem. Where this kernel has none they run in the guest, started by tests/test_guest_tier.py."""

from __future__ import annotations

from testbed.lab.place import why_not_native

collect_ignore_glob = ["test_*.py"] if why_not_native() else []
