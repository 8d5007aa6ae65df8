"""testbed.kernel.netlink's bytes, held against pyroute2's. What a kernel makes of them: tests/netns, tests/netem."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from testbed.kernel import netlink


def test_an_attribute_is_padded_and_its_length_does_not_count_the_padding() -> None:
    assert netlink.attribute(3, b"abcde") == b"\x09\0\x03\0abcde\0\0\0"
    assert netlink.attribute(3, b"") == b"\x04\0\x03\0"
    assert netlink.text(1, "lo") == b"\x07\0\x01\0lo\0\0"
    assert netlink.u32(4, 1500) == b"\x08\0\x04\0" + struct.pack("=I", 1500)
    assert netlink.nested(2, netlink.u32(4, 1)) == b"\x0c\0\x02\x80" + netlink.u32(4, 1)


@given(st.dictionaries(st.integers(0, 0x3FFF), st.binary(max_size=40)))
def test_what_is_packed_is_what_is_parsed(attributes: dict[int, bytes]) -> None:
    packed = b"".join(netlink.attribute(kind, payload) for kind, payload in attributes.items())
    assert len(packed) % 4 == 0
    assert netlink.parse_attributes(packed) == attributes
    assert netlink.parse_attributes(memoryview(packed)) == attributes


@given(st.binary(max_size=64))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    netlink.parse_attributes(data)


def test_the_nested_flag_is_no_part_of_the_kind() -> None:
    assert netlink.parse_attributes(netlink.nested(18, netlink.u32(1, 7))) == {18: netlink.u32(1, 7)}


@pytest.mark.parametrize("name", ["a", "eth0", "57698-eth12"])
def test_a_message_reads_in_pyroute2_as_it_was_meant(name: str) -> None:
    header = struct.pack("=BxHiII", 0, 0, 7, 1, 1)
    info = netlink.nested(18, netlink.text(1, "veth"))
    message = netlink.message(16, netlink.CREATE, header + netlink.text(3, name) + netlink.u32(4, 1400) + info, "it")
    decoded: Any = ifinfmsg(message.data)
    decoded.decode()
    assert decoded["header"]["length"] == len(message.data)
    assert decoded["header"]["type"] == 16
    assert decoded["header"]["flags"] == netlink.REQUEST | netlink.CREATE
    assert decoded["index"] == 7
    assert decoded.get_attr("IFLA_IFNAME") == name
    assert decoded.get_attr("IFLA_MTU") == 1400
    assert decoded.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "veth"
