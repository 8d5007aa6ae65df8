"""The traffic class outside is the one inside: by a tap on the way, and by Scapy's ESP for what is inside (A8)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.layers.ipsec import ESP, SecurityAssociation
from traffic_hosts import flow, hosts, play, routed
from traffic_lab import Lab

from traffic.session import SessionOptions
from traffic.timestamps import open_tap, receive

pytestmark = pytest.mark.netns

CLASSES = (46, 34, 18, 0)  # EF, AF41, AF21, best effort


def test_outer_dscp_is_inner_dscp(tmp_path: Path) -> None:
    flows = [flow(f"class-{dscp}", "rome", "milan", 50, 200, dscp) for dscp in CLASSES]
    with Lab() as lab:
        routed(lab)
        tap = lab.within("router", open_tap, "r-eth0")
        play(flows, hosts(lab), tmp_path, 0.5, SessionOptions(esn=False))
        frames = [frame for frame, _, _ in receive(tap)]
    keys = {entry["spi"]: entry for entry in json.loads((tmp_path / "keys.json").read_text())}
    seen = []
    for frame in frames:
        outer = IP(frame[14:])
        if outer.proto != 17 or outer.dport != 4500:
            continue
        esp = bytes(outer["UDP"].payload)
        spi = int.from_bytes(esp[:4], "big")
        material = bytes.fromhex(keys[spi]["key"] + keys[spi]["salt"])
        theirs = SecurityAssociation(ESP, spi=spi, crypt_algo="AES-GCM", crypt_key=material, tunnel_header=IP())
        inner = theirs.decrypt(IP(src=outer.src, dst=outer.dst, proto=50) / ESP(esp))
        assert (outer.tos, outer.tos >> 2) == (inner.tos, keys[spi]["dscp"])
        seen.append(outer.tos >> 2)
    assert {dscp: seen.count(dscp) for dscp in set(seen)} == dict.fromkeys(CLASSES, 25)
