"""testbed help: the same as --help, where people look for it."""

from __future__ import annotations

import click


@click.command("help")
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Explain COMMAND, or list the commands.

    \b
    testbed help
    testbed help run
    testbed help traffic send
    """
    explained, around = ctx.find_root().command, ctx.find_root()
    for word in words:
        found = explained.get_command(around, word) if isinstance(explained, click.Group) else None
        if found is None:
            raise click.UsageError(f"no such command '{' '.join(words)}': 'testbed help' lists them")
        around = click.Context(found, around, info_name=word)
        explained = found
    click.echo(explained.get_help(around))
