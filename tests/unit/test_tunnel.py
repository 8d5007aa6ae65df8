"""What the kernel's tunnel counts, held against what a transfer received. The tunnel itself is in tests/netem."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.emulation.tunnel import Tunnel


def counters(to_server: int, to_client: int, *, failed: int = 0) -> dict[str, Any]:
    refused = {"replay_window": 0, "replay": 0, "failed": failed}
    return {
        "to_server": {"bytes": to_server, "packets": to_server // 1_400, **refused},
        "to_client": {"bytes": to_client, "packets": to_client // 60, **refused},
    }


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        (counters(1_050_000, 30_000), None),
        (counters(30_000, 1_050_000), None),  # a download
        (counters(900_000, 30_000), "tunnel: 900,000 bytes were decrypted, 1,000,000 received: some went another way"),
        (counters(1_050_000, 30_000, failed=3), "tunnel: 6 packets failed their integrity check"),
    ],
)
def test_a_transfer_must_have_gone_through_the_tunnel_and_whole(told: dict[str, Any], complaint: str | None) -> None:
    assert Tunnel.complaint(told, 1_000_000) == complaint
