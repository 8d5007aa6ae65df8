"""What a shell offers where TAB is pressed: topologies, run directories, parameters and their values.

What takes long to import is imported where it is asked for: every command imports this file, and `exec` is in a hurry.
"""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from testbed.ground.errors import ScenarioError
from testbed.lab import runs


def topology(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Installed topologies; files where a path is begun."""
    from testbed.lab import finder

    if "/" in incomplete or incomplete.startswith("."):
        return [CompletionItem(incomplete, type="file")]
    return [CompletionItem(name) for name in finder.names() if name.startswith(incomplete)]


def run_directory(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """'latest' and what lies in ./runs, the newest first; folders where another path is begun."""
    found = sorted(runs.DEFAULT_PARENT.glob("*/manifest.json"), key=lambda path: -path.stat().st_mtime_ns)
    known = ["latest", *(str(path.parent) for path in found)] if found else []
    return [CompletionItem(name) for name in known if name.startswith(incomplete)] or [
        CompletionItem(incomplete, type="dir")
    ]


def parameter(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Parameters of the topology that was named before: KEY=VALUE where values can be listed, else KEY=."""
    from testbed.lab import finder
    from testbed.plan.scenario import Choice, Switch

    named = ctx.params.get("topology") or next(iter(ctx.args), None)  # click leaves it there while -p lacks its value
    try:
        parameters = finder.find(named).parameters if named else ()
    except ScenarioError:
        return []
    words = [
        (f"{one.name}={value}", one.meaning)
        for one in parameters
        for value in (one.choices if isinstance(one, Choice | Switch) else ("",))
    ]
    return [CompletionItem(word, help=meaning) for word, meaning in words if word.startswith(incomplete)]
