"""`prunescope`: which commands are there? Each is imported only when it is called."""

from __future__ import annotations

from importlib import import_module

import click

from prunescope import __version__
from prunescope.cli.help_text import DEMO, PRUNED, fitting_help
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


# What a newcomer does first: the sentence's key, the command line.
FIRST_STEPS = (
    ("first_model", f"prunescope demo-model {DEMO}"),
    (
        "first_prune",
        f"prunescope prune --base_model {DEMO} \\\n"
        "      --pruning_ratio 0.25 --save_model \\\n"
        "      --block_attention_layer_end 27 --block_mlp_layer_end 27",
    ),
    ("first_look", f"prunescope analyze {DEMO} {PRUNED}"),
)


class _Commands(click.Group):
    def __init__(self, say: Messages) -> None:
        super().__init__(
            "prunescope",
            callback=_help_alone,
            help=say("help_root"),
            epilog=say("exit_codes"),
            invoke_without_command=True,
        )
        self._say = say

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in COMMANDS:
            return None
        return fitting_help(import_module(COMMANDS[name]).subcommand(self._say))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that was named, or an error that helps."""
        if args and args[0] not in COMMANDS and not ctx.resilient_parsing:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean {near[0]}?" if near else "prunescope --help lists all"
            raise click.UsageError(f"no such command {args[0]!r}: {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What to do first, then everything that can be done."""
        with formatter.section(self._say("first_steps")):
            for key, line in FIRST_STEPS:
                # Written as it is, to be copied: wrapped it would be another command.
                formatter.write(f"  # {self._say(key)}\n  {line}\n")
        super().format_commands(ctx, formatter)


@click.pass_context
def _help_alone(context: click.Context) -> None:
    """`prunescope` without a command."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def group(say: Messages) -> click.Group:
    """The group of all commands."""
    root = _Commands(say)
    root = language_option(say)(root)
    return click.version_option(__version__, prog_name="prunescope")(root)


def main() -> None:
    """Entry of the command `prunescope`."""
    run(group, "en")
