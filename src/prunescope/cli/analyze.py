"""`analyze_pruning.py` and `prunescope analyze`: which layer lost what?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prunescope.cli.run import language_option, run
from prunescope.report.messages import Messages

if TYPE_CHECKING:
    from prunescope.analysis.layer_match import Align

DEFAULT_CSV = "pruning_analysis.csv"
# Of a paper; `report.plot` has the inches.
WIDTHS = ("single", "double")


def script(say: Messages) -> click.Command:
    """The mission's `analyze_pruning.py`: options, and a CSV each time."""
    example = (
        "python analyze_pruning.py --original_model Llama-3-8B-Instruct "
        "--pruned_model prune_log/llama_prune/pytorch_model.bin --output detailed_analysis.csv"
    )

    @click.command(help=say("help_analyze", example=example))
    @click.option("--original_model", required=True, help=say("help_original"))
    @click.option("--pruned_model", required=True, help=say("help_pruned"))
    @click.option(
        "--output", default=DEFAULT_CSV, show_default=True, help=say("help_output"),
        type=click.Path(path_type=Path),
    )  # fmt: skip
    @click.option("--plot", type=click.Path(path_type=Path), help=say("help_plot"))
    @click.option("--plot-width", default="double", show_default=True,
                  type=click.Choice(WIDTHS), help=say("help_plot_width"))  # fmt: skip
    @click.option("--verify", "and_verify", is_flag=True, help=say("help_and_verify"))
    @click.option("--json", "as_json", is_flag=True, help=say("help_json"))
    @language_option(say)
    def command(
        original_model: str,
        pruned_model: str,
        output: Path,
        plot: Path | None,
        plot_width: str,
        and_verify: bool,
        as_json: bool,
    ) -> int:
        return _analyze(
            say, original_model, pruned_model, output, (plot, plot_width), and_verify, as_json
        )

    return command


def subcommand(say: Messages) -> click.Command:
    """`prunescope analyze ORIGINAL PRUNED`: a CSV only where one is asked for."""
    example = "prunescope analyze Llama-3-8B-Instruct prune_log/llama_prune --output table.csv"

    @click.command("analyze", help=say("help_analyze", example=example))
    @click.argument("original")
    @click.argument("pruned")
    @click.option("--output", type=click.Path(path_type=Path), help=say("help_output"))
    @click.option("--plot", type=click.Path(path_type=Path), help=say("help_plot"))
    @click.option("--plot-width", default="double", show_default=True,
                  type=click.Choice(WIDTHS), help=say("help_plot_width"))  # fmt: skip
    @click.option("--verify", "and_verify", is_flag=True, help=say("help_and_verify"))
    @click.option("--align-layers", default="auto", show_default=True,
                  type=click.Choice(["auto", "numbers", "weights"]),
                  help=say("help_align_layers"))  # fmt: skip
    @click.option("--json", "as_json", is_flag=True, help=say("help_json"))
    @language_option(say)
    def command(
        original: str,
        pruned: str,
        output: Path | None,
        plot: Path | None,
        plot_width: str,
        and_verify: bool,
        align_layers: Align,
        as_json: bool,
    ) -> int:
        drawing = (plot, plot_width)
        return _analyze(say, original, pruned, output, drawing, and_verify, as_json, align_layers)

    return command


def _analyze(
    say: Messages,
    original: str,
    pruned: str,
    output: Path | None,
    drawing: tuple[Path | None, str],
    and_verify: bool,
    as_json: bool,
    align: Align = "auto",
) -> int:
    plot, width = drawing
    from prunescope.analysis.compare import compare
    from prunescope.checkpoint import open_checkpoint

    before, after = open_checkpoint(original), open_checkpoint(pruned)
    comparison = compare(before, after, align=align)
    verification = None
    if and_verify:
        from prunescope.analysis.verify import verify

        verification = verify(after, before)
    code = 1 if verification is not None and verification.failed else 0
    if output is not None:
        from prunescope.report.table_csv import write_csv

        write_csv(comparison, output)
    if plot is not None:
        from prunescope.report.plot import plot_sparsity

        plot_sparsity(comparison, plot, say, width)
    if as_json:
        from prunescope.report.json_output import analysis_json

        click.echo(analysis_json(comparison, verification))
        return code
    from prunescope.report.analysis import print_analysis
    from prunescope.report.console import Screen

    screen = Screen()
    print_analysis(comparison, screen, say)
    if verification is not None:
        from prunescope.report.verify import print_verification

        screen.line()
        print_verification(verification, screen, say)
    if output is not None:
        screen.line(say("csv_written", path=output))
    if plot is not None:
        screen.line(say("plot_written", path=plot))
    return code


def main() -> None:
    """Entry of the root script."""
    run(script, "zh")
