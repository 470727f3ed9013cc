"""`analyze_pruning.py` and `prunescope analyze`: which layer lost what?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prunescope.cli.given import refuse_unused
from prunescope.cli.help_text import DEMO, PRUNED, help_text
from prunescope.cli.output import Output, check_file, output_options
from prunescope.cli.run import language_option, run
from prunescope.report.messages import Messages

if TYPE_CHECKING:
    from prunescope.analysis.compare_result import Comparison
    from prunescope.analysis.layer_match import Align
    from prunescope.analysis.verify import Verification

DEFAULT_CSV = "pruning_analysis.csv"
# Of a paper; `report.plot` has the inches.
WIDTHS = ("single", "double")


def script(say: Messages) -> click.Command:
    """The mission's `analyze_pruning.py`: options, and a CSV each time."""
    example = (
        f"python analyze_pruning.py --original_model {DEMO} \\\n"
        f"      --pruned_model {PRUNED}/pytorch_model.bin --output detailed_analysis.csv"
    )

    @click.command(help=help_text(say, "help_analyze", example))
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
        shown = Output("json" if as_json else "terminal", is_script=True)
        drawing = (plot, plot_width)
        return _analyze(say, original_model, pruned_model, output, drawing, and_verify, shown)

    return command


def subcommand(say: Messages) -> click.Command:
    """`prunescope analyze ORIGINAL PRUNED`: a CSV only where one is asked for."""
    example = f"prunescope analyze {DEMO} {PRUNED} \\\n      --output table.csv --plot sparsity.png"

    @click.command("analyze", help=help_text(say, "help_analyze", example))
    @click.argument("original", type=click.Path())
    @click.argument("pruned", type=click.Path())
    @click.option("--output", "csv", type=click.Path(path_type=Path), help=say("help_output"))
    @click.option("--plot", type=click.Path(path_type=Path), help=say("help_plot"))
    @click.option("--plot-width", default="double", show_default=True,
                  type=click.Choice(WIDTHS), help=say("help_plot_width"))  # fmt: skip
    @click.option("--verify", "and_verify", is_flag=True, help=say("help_and_verify"))
    @click.option("--align-layers", default="auto", show_default=True,
                  type=click.Choice(["auto", "numbers", "weights"]),
                  help=say("help_align_layers"))  # fmt: skip
    @click.option("--all", "every", is_flag=True, help=say("help_every"))
    @output_options(say)
    @language_option(say)
    def command(
        original: str,
        pruned: str,
        csv: Path | None,
        plot: Path | None,
        plot_width: str,
        and_verify: bool,
        align_layers: Align,
        every: bool,
        output: Output,
    ) -> int:
        drawing = (plot, plot_width)
        return _analyze(
            say, original, pruned, csv, drawing, and_verify, output, align_layers, every=every
        )

    return command


def _analyze(
    say: Messages,
    original: str,
    pruned: str,
    csv: Path | None,
    drawing: tuple[Path | None, str],
    and_verify: bool,
    output: Output,
    align: Align = "auto",
    *,
    every: bool = True,
) -> int:
    plot, width = drawing
    refuse_unused((("plot_width",), plot, "--plot"))
    from prunescope.analysis.compare import compare
    from prunescope.checkpoint import open_checkpoint

    before, after = open_checkpoint(original), open_checkpoint(pruned)
    for path in (csv, plot):
        if path is not None:
            check_file(path, before, after)
    comparison = compare(before, after, align=align)
    verification = None
    if and_verify:
        from prunescope.analysis.verify import verify

        verification = verify(after, before)
    code = 1 if verification is not None and verification.failed else 0
    if csv is not None:
        from prunescope.report.table_csv import write_csv

        write_csv(comparison, csv)
    if plot is not None:
        from prunescope.report.plot import plot_sparsity

        plot_sparsity(comparison, plot, say, width)
    if output.medium == "json":
        from prunescope.report.json_output import analysis_json

        output.data(analysis_json(comparison, verification))
    else:
        _print(say, comparison, verification, output, every)
    if csv is not None:
        output.note(say("csv_written", path=csv))
    if plot is not None:
        output.note(say("plot_written", path=plot))
    return code


def _print(
    say: Messages,
    comparison: Comparison,
    verification: Verification | None,
    output: Output,
    every: bool,
) -> None:
    from prunescope.report.analysis import print_analysis

    screen = output.screen()
    print_analysis(comparison, screen, say, every=every)
    if verification is not None:
        from prunescope.report.verify import print_verification

        screen.line()
        print_verification(verification, screen, say)


def main() -> None:
    """Entry of the root script."""
    run(script, "zh")
