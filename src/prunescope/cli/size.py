"""`check_model_size.py` and `prunescope size`: what does a model weigh on disk?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prunescope.cli.help_text import DEMO, PRUNED, help_text
from prunescope.cli.output import Output, output_options
from prunescope.cli.run import fail, language_option, run
from prunescope.report.messages import Messages

if TYPE_CHECKING:
    from prunescope.analysis.size import ModelSize
    from prunescope.errors import CheckpointError

PRUNE_LOG = Path("prune_log")


def script(say: Messages) -> click.Command:
    """The mission's `check_model_size.py`."""
    example = (
        f"python check_model_size.py --original_model {DEMO} \\\n"
        f"      --pruned_model {PRUNED}/pytorch_model.bin"
    )

    @click.command(help=help_text(say, "help_size", example))
    @click.option("--original_model", help=say("help_original"))
    @click.option("--pruned_model", help=say("help_pruned"))
    @click.option("--json", "as_json", is_flag=True, help=say("help_json"))
    @language_option(say)
    def command(original_model: str | None, pruned_model: str | None, as_json: bool) -> None:
        shown = Output("json" if as_json else "terminal", is_script=True)
        _size(say, [path for path in (original_model, pruned_model) if path is not None], shown)

    return command


def subcommand(say: Messages) -> click.Command:
    """`prunescope size [MODEL [PRUNED]]`."""
    example = f"prunescope size {DEMO} {PRUNED}"

    @click.command("size", help=help_text(say, "help_size", example))
    @click.argument("original", required=False, type=click.Path())
    @click.argument("pruned", required=False, type=click.Path())
    @output_options(say)
    @language_option(say)
    def command(original: str | None, pruned: str | None, output: Output) -> None:
        _size(say, [path for path in (original, pruned) if path is not None], output)

    return command


def _size(say: Messages, paths: list[str], output: Output) -> None:
    from prunescope.analysis.size import measure, pruned_models
    from prunescope.checkpoint import open_checkpoint

    damaged: list[CheckpointError] = []
    sizes = [measure(open_checkpoint(path)) for path in paths]
    if not paths:
        sizes, damaged = pruned_models(PRUNE_LOG)
    if sizes:
        _print(say, sizes, output, is_pair=len(paths) == 2)
    for error in damaged[:-1]:
        fail(say, str(error))
    for error in damaged[-1:]:
        raise error


def _print(say: Messages, sizes: list[ModelSize], output: Output, is_pair: bool) -> None:
    from prunescope.analysis.size import compare_sizes

    if output.medium == "json":
        from prunescope.report.json_output import sizes_json

        output.data(sizes_json(sizes))
        return
    from prunescope.report.sizes import print_comparison, print_sizes

    if is_pair:
        print_comparison(compare_sizes(*sizes), output.screen(), say)
    else:
        print_sizes(sizes, output.screen(), say)


def main() -> None:
    """Entry of the root script."""
    run(script, "zh")
