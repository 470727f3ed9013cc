"""`prunescope`: which commands are there? Each is imported only when it is called."""

from __future__ import annotations

from importlib import import_module

import click

from prunescope import __version__
from prunescope.cli.run import language_option, run
from prunescope.report.messages import Messages

COMMANDS = {
    "analyze": "prunescope.cli.analyze",
    "browse": "prunescope.cli.browse",
    "convert": "prunescope.cli.convert",
    "cost": "prunescope.cli.cost",
    "demo-model": "prunescope.cli.demo_model",
    "eval": "prunescope.cli.eval",
    "prune": "prunescope.cli.prune",
    "recover": "prunescope.cli.recover",
    "report": "prunescope.cli.report",
    "scan": "prunescope.cli.scan",
    "size": "prunescope.cli.size",
    "sparsity": "prunescope.cli.sparsity",
    "trace": "prunescope.cli.trace",
    "verify": "prunescope.cli.verify",
}


class _Commands(click.Group):
    def __init__(self, say: Messages) -> None:
        super().__init__("prunescope", help=say("help_root"), no_args_is_help=True)
        self._say = say

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[name]).subcommand(self._say)
        return command


def group(say: Messages) -> click.Group:
    """The group of all commands."""
    root = _Commands(say)
    root = language_option(say)(root)
    return click.version_option(__version__, prog_name="prunescope")(root)


def main() -> None:
    """Entry of the command `prunescope`."""
    run(group, "en")
