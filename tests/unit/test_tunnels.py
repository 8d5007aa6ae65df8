"""Sizes of what is encrypted twice; that the tunnels work is shown on a real kernel (tests/netem/test_exposure.py)."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from run_fixture import make_plan

from testbed.emulation.tunnels import OVERHEAD_BYTES, check_sizes
from testbed.ground.errors import PlanError
from traffic.esp import OutboundSa


def outer_bytes(payload_bytes: int, *, ipv6: bool = False, both: bool = False) -> int:
    """Of the IP packet on the wire, from our own ESP: the operator's adds an IPv4 header, but no UDP."""
    inner = bytes(28 + payload_bytes)
    esp = len(OutboundSa(4096, bytes(32), bytes(4)).encrypt(inner))
    packet = esp + 8 + (40 if ipv6 else 20)
    if both:
        packet = 20 + len(OutboundSa(4096, bytes(32), bytes(4)).encrypt(bytes(packet)))
    return packet


@pytest.mark.parametrize(("encryption", "access"), [("both", "cgnat"), ("overlay", "ipv6"), ("both", "ipv6")])
def test_the_largest_payload_that_is_let_through_fits_the_mtu(encryption: str, access: str) -> None:
    def with_payload(size: int) -> None:
        flows = ({"name": "bulk", "payload_bytes": size},)
        check_sizes(replace(make_plan(), flows=flows, traffic={"encryption": encryption, "access": access}))

    with pytest.raises(PlanError, match=f"encryption={encryption} and access={access}: use") as refused:
        with_payload(1380)
    found = re.search(r"use (\d+) at most", str(refused.value))
    assert found is not None
    most = int(found[1])
    with_payload(most)
    with pytest.raises(PlanError):
        with_payload(most + 1)
    assert outer_bytes(most, ipv6=access == "ipv6", both=encryption == "both") <= 1500
    assert outer_bytes(most + 32, ipv6=access == "ipv6", both=encryption == "both") > 1500


def test_with_one_layer_over_ipv4_every_payload_fits() -> None:
    flows = ({"name": "bulk", "payload_bytes": 1380}, {"name": "page"})
    for encryption in ("overlay", "operator"):
        check_sizes(replace(make_plan(), flows=flows, traffic={"encryption": encryption}))
    assert 28 + 1380 + OVERHEAD_BYTES <= 1500
