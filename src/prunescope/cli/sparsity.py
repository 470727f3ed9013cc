"""`prunescope sparsity`: which weights are zero, and in what patterns?"""

from __future__ import annotations

from pathlib import Path

import click

from prunescope.cli.cores import keep_from_blas
from prunescope.cli.help_text import PRUNED, help_text
from prunescope.cli.output import Output, check_file, output_options
from prunescope.cli.run import language_option
from prunescope.report.messages import Messages


def subcommand(say: Messages) -> click.Command:
    """`prunescope sparsity MODEL`."""
    example = f"prunescope sparsity {PRUNED} --output zeros.csv"

    @click.command("sparsity", help=help_text(say, "help_sparsity", example))
    @click.argument("model", type=click.Path())
    @click.option("--output", "csv", type=click.Path(path_type=Path), help=say("help_output"))
    @click.option("--values", is_flag=True, help=say("help_values"))
    @click.option("--all", "every", is_flag=True, help=say("help_every"))
    @output_options(say)
    @language_option(say)
    def command(model: str, csv: Path | None, values: bool, every: bool, output: Output) -> None:
        _sparsity(say, model, csv, values, every, output)

    return command


def _sparsity(
    say: Messages, path: str, csv: Path | None, values: bool, every: bool, output: Output
) -> None:
    keep_from_blas()
    from prunescope.analysis.sparsity import sparsity
    from prunescope.checkpoint import open_checkpoint
    from prunescope.report.progress import progress
    from prunescope.report.sparsity_files import sparsity_json, write_sparsity_csv

    checkpoint = open_checkpoint(path)
    if csv is not None:
        check_file(csv, checkpoint)
    found = sparsity(
        checkpoint,
        lambda steps: progress(say("reading_weights"), steps, output.quiet),
        values,
    )
    if csv is not None:
        write_sparsity_csv(found, csv)
    if output.medium == "json":
        output.data(sparsity_json(found))
    else:
        from prunescope.report.sparsity import print_sparsity

        print_sparsity(found, output.screen(), say, every=every)
    if csv is not None:
        output.note(say("csv_written", path=csv))
