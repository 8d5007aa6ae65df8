"""traffic.pcapng: tshark, capinfos and Scapy read what it writes; it reads what Scapy and editcap write."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_fixture import make_files
from scapy.utils import PcapNgReader, RawPcapNgReader, wrpcap

from testbed.report.results import write_report
from traffic.errors import CaptureError
from traffic.packets import parse_frame, udp_packet
from traffic.pcapng import Captured, PcapngWriter, merge, read_capture

START_NS = 1_795_600_000_123_456_789
FRAMES = [
    bytes(12) + b"\x08\x00" + udp_packet("192.0.2.1", "192.0.2.2", 1000, 2000 + size, bytes(size)) for size in range(9)
]


def write(path: Path, interfaces: tuple[str, ...] = ("rome", "dc-rome")) -> Path:
    with PcapngWriter(path) as writer:
        numbers = [writer.interface(name) for name in interfaces]
        for place, frame in enumerate(FRAMES):
            writer.packet(numbers[place % len(numbers)], START_NS + place, frame)
    return path


def tool(name: str, *words: str) -> str:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return subprocess.run([name, *words], capture_output=True, text=True, check=True).stdout


def test_tshark_sees_frames_nanoseconds_and_interface_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pcapng")
    fields = ("frame.time_epoch", "frame.interface_name", "frame.len", "udp.dstport")
    told = tool("tshark", "-n", "-r", str(path), "-T", "fields", *(word for name in fields for word in ("-e", name)))
    rows = [line.split("\t") for line in told.splitlines()]
    assert rows == [
        [f"1795600000.{123_456_789 + place}", ("rome", "dc-rome")[place % 2], str(len(frame)), str(2000 + place)]
        for place, frame in enumerate(FRAMES)
    ]


def test_capinfos_finds_nothing_wrong(tmp_path: Path) -> None:
    told = tool("capinfos", "-M", str(write(tmp_path / "a.pcapng")))
    assert "pcapng" in told
    assert "Number of packets:   9" in told
    assert "nanoseconds (9)" in told
    assert "Number of interfaces in file: 2" in told


def test_scapy_reads_it(tmp_path: Path) -> None:
    with RawPcapNgReader(str(write(tmp_path / "a.pcapng"))) as reader:
        read = list(reader)
    assert [frame for frame, _ in read] == FRAMES
    with PcapNgReader(str(tmp_path / "a.pcapng")) as packets:
        assert [packet.sniffed_on for packet in packets][:2] == ["rome", "dc-rome"]


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    assert list(read_capture(write(tmp_path / "a.pcapng"))) == [
        Captured(place % 2, START_NS + place, frame) for place, frame in enumerate(FRAMES)
    ]


@pytest.mark.parametrize("kind", ["pcap", "nsecpcap", "pcapng"])
def test_editcaps_kinds_are_read(tmp_path: Path, kind: str) -> None:
    source, target = write(tmp_path / "a.pcapng", ("one",)), tmp_path / "b"
    tool("editcap", "-F", kind, str(source), str(target))
    unit_ns = 1000 if kind == "pcap" else 1
    expected = [Captured(0, (START_NS + place) // unit_ns * unit_ns, frame) for place, frame in enumerate(FRAMES)]
    assert list(read_capture(target)) == expected


def test_scapys_pcap_in_both_byte_orders(tmp_path: Path) -> None:
    for order in "<>":
        wrpcap(str(tmp_path / order), FRAMES, endianness=order, linktype=1)
        assert [packet.frame for packet in read_capture(tmp_path / order)] == FRAMES


@pytest.mark.parametrize(
    ("link", "header"), [(101, b""), (113, bytes(14) + b"\x08\x00"), (276, b"\x08\x00" + bytes(18))]
)
def test_links_without_ethernet_become_frames(tmp_path: Path, link: int, header: bytes) -> None:
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link)
    packet = header + FRAMES[3][14:]
    data += struct.pack("<IIII", 1, 2, len(packet), len(packet)) + packet
    (tmp_path / "a").write_bytes(data)
    (read,) = read_capture(tmp_path / "a")
    assert read.time_ns == 1_000_002_000
    assert parse_frame(read.frame).destination_port == 2003


def test_a_packet_that_the_capture_cut_is_marked(tmp_path: Path) -> None:
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + struct.pack("<IIII", 0, 0, 20, 60) + bytes(20)
    (tmp_path / "a").write_bytes(data)
    assert [packet.cut for packet in read_capture(tmp_path / "a")] == [True]


@pytest.mark.parametrize("content", [b"", b"no capture", struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 147)])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(CaptureError, match=r"neither pcap nor pcapng|link type 147 is not known"):
        list(read_capture(tmp_path / "a"))
    with pytest.raises(CaptureError, match="No such file"):
        list(read_capture(tmp_path / "absent"))


@given(data=st.data())
def test_damaged_files_raise_nothing_else(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = bytearray(write(folder / "whole.pcapng").read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    (folder / "damaged").write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    with suppress(CaptureError):
        for packet in read_capture(folder / "damaged"):
            assert isinstance(packet.frame, bytes)


def test_captures_of_a_run_become_one_file_in_the_order_of_time(tmp_path: Path) -> None:
    folder = make_files().write(tmp_path)
    (folder / "pcap").mkdir()
    for name, shift_ns in (("dc-rome", 5), ("rome", 0)):
        with PcapngWriter(folder / "pcap" / f"{name}.pcap") as writer:
            number = writer.interface("eth0")
            for place, frame in enumerate(FRAMES):
                writer.packet(number, START_NS + 10 * place + shift_ns, frame)
        said = f"9 packets captured\n{9 + shift_ns} packets received by filter\n{shift_ns} packets dropped by kernel\n"
        (folder / "pcap" / f"{name}.log").write_text(said)
    report = write_report(folder)
    assert report["warnings"] == ["captures: dc-rome.pcap lacks 5 packets that passed"]
    merged = list(read_capture(folder / "pcap" / "run.pcapng"))
    assert [packet.interface for packet in merged] == [1, 0] * 9  # in the order of names: dc-rome, rome
    assert [packet.time_ns for packet in merged] == sorted(packet.time_ns for packet in merged)
    assert json.loads((folder / "report.json").read_text())["warnings"] == report["warnings"]
    (folder / "pcap" / "rome.pcap").write_bytes(b"nonsense")
    assert any("run.pcapng is not complete" in line for line in write_report(folder)["warnings"])


def test_merging_nothing_makes_an_empty_file(tmp_path: Path) -> None:
    assert merge([], tmp_path / "a.pcapng") == 0
    assert list(read_capture(tmp_path / "a.pcapng")) == []
    with pytest.raises(CaptureError, match="No such file"):
        merge([], tmp_path / "no" / "a.pcapng")
