"""testbed schema: what the JSON of commands and files looks like."""

from __future__ import annotations

import click

from testbed.ground.errors import InputError
from testbed.report import schemas


@click.command("schema")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """Print the JSON schema of NAME (draft 2020-12), or list what there is.

    \b
    testbed schema
    testbed schema report > report.schema.json
    """
    if name is None:
        for known in schemas.names():
            click.echo(f"{known:<12}  {schemas.schema(known)['title']}")
        return
    if name not in schemas.names():
        raise InputError(f"schema '{name}' is unknown: there are {', '.join(schemas.names())}")
    click.echo(schemas.text(name), nl=False)
