"""testbed lab: exercises, seeds of students, and grading what they hand in."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from testbed.cli import completing
from testbed.lab import finder
from testbed.lab.exercises import grading, submission
from testbed.lab.exercises.book import BOOK
from testbed.lab.exercises.students import seed_of

_FORMAT = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)


@click.group("lab")
def command() -> None:
    """Exercises: docs/labs has a page for each.

    \b
    testbed lab list
    testbed lab seed anna                a student's own seed, for --seed
    testbed lab check 1 lab1 --student anna
    """


@command.command("list")
@_FORMAT
def show(form: str) -> None:
    """List the exercises, one line each.

    \b
    testbed lab list
    """
    if form == "json":
        rows = [
            {"lab": lab.number, "title": lab.title, "page": f"docs/labs/{lab.page}", "hand_in": lab.kind, "of": lab.of}
            for lab in BOOK
        ]
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for lab in BOOK:
        click.echo(f"{lab.number}  {lab.title:<40}  {lab.kind:<8}  {lab.of:>2} points  docs/labs/{lab.page}")


@command.command("seed")
@click.argument("name")
def seed(name: str) -> None:
    """Print the seed of the student NAME: the first 31 bits of the name's SHA-256.

    \b
    testbed lab seed ada
    """
    click.echo(seed_of(name))


@command.command("check")
@click.argument("number", type=int)
@click.argument("run", shell_complete=completing.run_directory)
@click.option("--student", metavar="NAME", help="Whose it is. Default: the one that the answers name.")
@click.option(
    "--answers",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"TOML. Default: {submission.ANSWERS} where there is one.",
)
@_FORMAT
def check(number: int, run: str, student: str | None, answers: Path | None, form: str) -> None:
    """Grade RUN (a run directory, 'latest', a plan's file or a campaign's folder) as lab NUMBER.

    \b
    testbed lab check 1 lab1
    testbed lab check 3 latest --student anna --answers anna.toml --format json

    Exit codes: 0 all points; 1 some are missing; 2 bad input; 4 the machine was too busy, run it again.
    """
    lab = grading.find(number, BOOK)
    given = submission.read_answers(answers, number, lab.questions)
    handed = submission.read(lab.kind, run, student, given, frozenset(finder.names()))
    sheet = grading.grade(lab, handed)
    if form == "json":
        click.echo(json.dumps(sheet, indent=1, ensure_ascii=False))
    else:
        _print(lab, sheet)
    sys.exit(grading.exit_code(sheet))


def _print(lab: grading.Lab, sheet: dict[str, Any]) -> None:
    click.echo(f"Lab {lab.number}, {lab.title}: {sheet['score']} of {sheet['of']} points for {sheet['student']}")
    width = max(len(item["name"]) for item in sheet["items"])
    for item in sheet["items"]:
        points = f"{item['points']}/{item['of']}" if item["judged"] else "–"
        click.echo(f"  {points:<3}  {item['name']:<{width}}  {item['detail']}")
    if sheet["again"] is not None:
        click.echo(f"Run it again on a quieter machine: {sheet['again']}")
