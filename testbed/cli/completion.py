"""testbed completion: what a shell needs to complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from testbed.ground.errors import MachineError


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands, options, topologies, parameters and run directories.

    \b
    testbed completion bash >> ~/.bashrc
    testbed completion zsh >> ~/.zshrc
    testbed completion fish > ~/.config/fish/completions/testbed.fish
    """
    found = get_completion_class(shell)
    assert found is not None, shell  # click's own
    try:
        click.echo(found(ctx.find_root().command, {}, "testbed", "_TESTBED_COMPLETE").source())
    except RuntimeError as error:  # a bash that is too old
        raise MachineError(f"completion for {shell}: {error}") from None
