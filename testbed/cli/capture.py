"""testbed capture: packets of a live run as they pass, for Wireshark or a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

import click

from testbed.cli import completing
from testbed.ground.errors import InputError, RunError
from testbed.lab import runs
from testbed.lab.eavesdrop import Eavesdropper


@click.command("capture", context_settings={"ignore_unknown_options": True})
@click.argument("run", shell_complete=completing.run_directory)
@click.argument("place", metavar="NODE[:INTERFACE]")
@click.argument("only", nargs=-1, type=click.UNPROCESSED, metavar="[-- FILTER...]")
@click.option("--write", "-w", "write", metavar="FILE", help="New pcapng file, or - for standard output.")
def command(run: str, place: str, only: tuple[str, ...], write: str | None) -> None:
    """Capture at a node of the live RUN (a folder, or 'latest'), as pcapng, until Ctrl-C or the run's end.

    Without INTERFACE at all interfaces of the node. FILTER is tcpdump's (man pcap-filter).

    \b
    testbed capture latest rome -w - | wireshark -k -i -
    testbed capture latest ut-rome -w rome.pcapng -- udp port 4500
    """
    folder = runs.find_live(run)
    target = write or "-"
    if target == "-" and sys.stdout.isatty():
        raise InputError(
            "capture: packets are nothing for a terminal: give --write FILE, or pipe it: … -w - | wireshark"
        )
    ear = Eavesdropper(folder, place, [word for word in only if word != "--"])
    into = sys.stdout.buffer if target == "-" else _new(Path(target))
    try:
        ear.run(into)
    except KeyboardInterrupt:
        pass
    except RunError:
        if target != "-" and not ear.packets:
            Path(target).unlink()  # a filter that is none, say: there is nothing in it
        raise
    finally:
        if into is not sys.stdout.buffer:
            into.close()
        sys.stderr.write(f"{ear.packets:,} packets\n")
    _quiet_stdout()


def _new(path: Path) -> BinaryIO:
    """For its owner's eyes: what is inside may be in the clear."""
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")
    except FileExistsError:
        raise InputError(f"{path} exists: captures are never overwritten, choose another --write") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: choose another --write") from None


def _quiet_stdout() -> None:
    """A reader that has gone is no error at our own end either."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
