"""Help like a manual's: every command shows how it is called, and what it shows is taken by its own parser."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from testbed.cli.main import testbed as cli


def commands(group: click.Group = cli, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    with click.Context(group) as ctx:
        for name in group.list_commands(ctx):
            command = group.get_command(ctx, name)
            assert command is not None, name
            yield (*above, name), command
            if isinstance(command, click.Group):
                yield from commands(command, (*above, name))


def examples(command: click.Command) -> list[str]:
    """Lines of its help that begin with 'testbed', without what explains them: two spaces before it."""
    lines = inspect.cleandoc(command.help or "").splitlines()
    return [re.split(r"\s{2,}", line.strip())[0] for line in lines if line.strip().startswith("testbed ")]


def parse(line: str) -> None:
    """Take a line as the shell would hand it over, and run nothing; raises click's errors."""
    _, *words = shlex.split(re.split(r" >+ | \| | #", line)[0])
    command: click.Command = cli
    ctx = click.Context(cli)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(ctx, words[0])
        if found is None:
            raise click.UsageError(f"no command {words[0]}")
        command, words = found, words[1:]
    command.make_context("testbed", words)


ALL = dict(commands())
LEAVES = {" ".join(words): command for words, command in ALL.items() if not isinstance(command, click.Group)}
LINES = [line for command in (cli, *LEAVES.values()) for line in examples(command)]


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_says_what_it_does_and_shows_how(name: str) -> None:
    command = LEAVES[name]
    assert command.help
    shown = examples(command)
    assert shown, f"{name}: no example: end its docstring with a paragraph \\b of lines 'testbed {name} …'"
    assert any(line.startswith(f"testbed {name}") for line in shown)


@pytest.mark.parametrize("line", LINES)
def test_every_example_is_taken(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r"[\w.-]+\.(?:json|pcapng|pcap|tle|csv)\b", line):
        Path(name).touch()  # some commands want their files to be there
    parse(line)


@pytest.mark.parametrize("line", ["testbed run iris2 --druation 60", "testbed moon", "testbed bench everything"])
def test_an_example_that_is_wrong_is_seen(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(line)


def test_help_is_what_help_says() -> None:
    asked = CliRunner().invoke(cli, ["help", "traffic", "judge"])
    assert asked.exit_code == 0
    assert "testbed traffic judge capture.pcapng --keys keys.json --format json" in asked.output
    assert CliRunner().invoke(cli, ["help"]).output == CliRunner().invoke(cli, ["--help"]).output
    refused = CliRunner().invoke(cli, ["help", "moon"])
    assert refused.exit_code == 2
    assert "no such command 'moon': 'testbed help' lists them" in refused.output
