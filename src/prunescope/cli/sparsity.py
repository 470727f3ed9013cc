"""`prunescope sparsity`: which weights are zero, and in what patterns?"""

from __future__ import annotations

from pathlib import Path

import click

from prunescope.cli.run import language_option
from prunescope.report.messages import Messages


def subcommand(say: Messages) -> click.Command:
    """`prunescope sparsity MODEL`."""
    example = "prunescope sparsity prune_log/llama_prune --output zeros.csv"

    @click.command("sparsity", help=say("help_sparsity", example=example))
    @click.argument("model")
    @click.option("--output", type=click.Path(path_type=Path), help=say("help_output"))
    @click.option("--values", is_flag=True, help=say("help_values"))
    @click.option("--json", "as_json", is_flag=True, help=say("help_json"))
    @click.option("--quiet", is_flag=True, help=say("help_quiet"))
    @language_option(say)
    def command(model: str, output: Path | None, values: bool, as_json: bool, quiet: bool) -> None:
        _sparsity(say, model, output, values, as_json, quiet)

    return command


def _sparsity(
    say: Messages, path: str, output: Path | None, values: bool, as_json: bool, quiet: bool
) -> None:
    from prunescope.analysis.sparsity import sparsity
    from prunescope.checkpoint import open_checkpoint
    from prunescope.report.progress import progress
    from prunescope.report.sparsity_files import sparsity_json, write_sparsity_csv

    found = sparsity(
        open_checkpoint(path),
        lambda steps: progress(say("reading_weights"), steps, quiet),
        values,
    )
    if output is not None:
        write_sparsity_csv(found, output)
    if as_json:
        click.echo(sparsity_json(found))
        return
    from prunescope.report.console import Screen
    from prunescope.report.sparsity import print_sparsity

    screen = Screen()
    print_sparsity(found, screen, say)
    if output is not None:
        screen.line(say("csv_written", path=output))
