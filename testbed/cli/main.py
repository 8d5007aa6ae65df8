"""The command `testbed`: one file per command, exit codes from the errors."""

from __future__ import annotations

import importlib
import signal
import sys

import click

from testbed.ground.errors import TestbedError

COMMANDS = {
    "bench": "testbed.cli.bench",
    "capture": "testbed.cli.capture",
    "clean": "testbed.cli.clean",
    "compare": "testbed.cli.compare",
    "completion": "testbed.cli.completion",
    "doctor": "testbed.cli.doctor",
    "event": "testbed.cli.event",
    "events": "testbed.cli.events",
    "exec": "testbed.cli.exec",
    "fetch": "testbed.cli.fetch",
    "help": "testbed.cli.help",
    "inspect": "testbed.cli.inspect",
    "lab": "testbed.cli.lab",
    "plan": "testbed.cli.plan",
    "report": "testbed.cli.report",
    "run": "testbed.cli.run",
    "schema": "testbed.cli.schema",
    "shell": "testbed.cli.shell",
    "sweep": "testbed.cli.sweep",
    "topologies": "testbed.cli.topologies",
    "traffic": "testbed.cli.traffic",
    "validate": "testbed.cli.validate",
    "web": "testbed.cli.web",
}


class Commands(click.Group):
    """Loads a command's file only when it is asked for: `--version` need not import numpy."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name]).command
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="satcom-testbed", prog_name="testbed")
def testbed() -> None:
    """Emulate satellite links for government communications, and measure what was emulated.

    \b
    testbed doctor                              what this machine can do
    testbed run starlink-italy --duration 60    plan, build, play, audit, report

    Exit codes: 0 every check passed; 1 a check failed; 2 bad usage or input; 3 this machine cannot do it;
    4 the run is not valid; 130 interrupted.
    """


def main() -> None:
    """Entry point: an error that the testbed raised on purpose is one line, not a trace."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that everything is taken down
    try:
        testbed()
    except TestbedError as error:
        sys.stderr.write(f"testbed: {error}\n")
        sys.exit(error.exit_code)
