"""Packets of a live run as they pass: tcpdump in the node, its pcap made a pcapng with the interfaces' names here."""

from __future__ import annotations

import io
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from testbed.emulation.capture import tcpdump
from testbed.emulation.join import frames
from testbed.emulation.join.frames import Conversation, HungUp
from testbed.ground.errors import InputError, RunError
from testbed.ground.joining import nearest
from testbed.lab.join import ask, inspect
from traffic.pcapng import PcapngWriter, read_pcap_stream

_BUFFER_BYTES: Final = 1 << 16


class Eavesdropper:
    """Captures at one interface of a node, or at all of them. Raises InputError for one that is not there."""

    def __init__(self, folder: Path, place: str, only: list[str]) -> None:
        """`place`: NODE or NODE:INTERFACE. `only`: words of a filter, as tcpdump reads them (pcap-filter(7))."""
        self._folder = folder
        node, _, interface = place.partition(":")
        (described,) = inspect(folder, node)["nodes"]
        names = [str(port["name"]) for port in described["interfaces"]]
        if interface and interface not in names:
            raise InputError(f"{folder}: no interface '{interface}' at {node}{nearest(interface, names)}")
        self._names = [f"{node}:{name}" for name in ([interface] if interface else names)]
        self._only = only
        self._lock = threading.Lock()
        self._talks: list[Conversation] = []
        self._failures: list[str] = []
        self.packets = 0

    def run(self, into: BinaryIO) -> None:
        """Until the run ends, the reader of `into` goes away, or `stop` is called. Raises RunError."""
        with ExitStack() as stack:
            stack.callback(self.stop)
            writer = PcapngWriter(into)
            threads = []
            for number, name in enumerate(self._names):
                writer.interface(name)
                node, _, interface = name.partition(":")
                command = [*tcpdump(interface), *(["--", *self._only] if self._only else [])]
                talk = ask(self._folder, {"do": "exec", "node": node, "command": command})
                self._talks.append(talk)
                stream = _Output(talk)
                threads.append(threading.Thread(target=self._take, args=(writer, number, name, stream), daemon=True))
            writer.flush()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        if self._failures:
            raise RunError(f"{self._folder}: {self._failures[0]}")

    def stop(self) -> None:
        """Hang up: tcpdump ends in the node."""
        for talk in self._talks:
            talk.close()

    def _take(self, writer: PcapngWriter, number: int, name: str, stream: _Output) -> None:
        try:
            for packet in read_pcap_stream(io.BufferedReader(stream, _BUFFER_BYTES), name):
                with self._lock:
                    writer.packet(number, packet.time_ns, packet.frame)
                    writer.flush()
                    self.packets += 1
        except BrokenPipeError:  # the reader has seen enough
            self.stop()
        if stream.code:
            self._failures.append(f"{name}: tcpdump: {stream.words()}")


class _Output(io.RawIOBase):
    """What a command in a node writes to its standard output, as a file."""

    def __init__(self, talk: Conversation) -> None:
        super().__init__()
        self._talk = talk
        self._rest = b""
        self._said = b""
        self.code = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            kind, payload = frames.EXIT, frames.NUMBER.pack(0)
            with suppress(HungUp):
                kind, payload = self._talk.hear()
            if kind == frames.OUTPUT:
                self._rest = payload
            elif kind == frames.ERROR:
                self._said += payload
            elif kind == frames.REFUSED:
                self._said, self.code = payload, 1
                return 0
            else:
                self.code = int(frames.NUMBER.unpack(payload)[0])
                return 0
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

    def words(self) -> str:
        """The last line of what it said on standard error."""
        return (self._said.decode(errors="replace").strip().splitlines() or ["it ended"])[-1].removeprefix("tcpdump: ")
