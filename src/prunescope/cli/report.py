"""`prunescope report`: what did pruning do, on one page to show and to keep?"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunescope.analysis.devices import devices
from prunescope.cli.analyze import WIDTHS
from prunescope.cli.help_text import DEMO, PRUNED, help_text
from prunescope.cli.output import check_file
from prunescope.cli.run import language_option
from prunescope.cli.verify import half_open, weights_reader
from prunescope.errors import PrunescopeError
from prunescope.report.messages import Messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prunescope.analysis.evaluation_file import Evaluated
    from prunescope.analysis.overview import Question
    from prunescope.analysis.provenance import FileFact
    from prunescope.analysis.trace.results import Trace
    from prunescope.checkpoint import Checkpoint

DEFAULT_OUTPUT = "report.html"
MOST_PRUNED = 12
SUFFIXES = (".html", ".htm")


@dataclass(frozen=True)
class _Asked:
    """The options, by their names."""

    output: Path
    plot: Path | None
    plot_width: str
    evaluations: tuple[Path, ...]
    trace: bool
    weights: bool
    sha256: bool
    layers: str | None
    expect_sparsity: float | None
    context: int
    batch: int
    device: str | None
    quiet: bool


def subcommand(say: Messages) -> click.Command:
    """`prunescope report ORIGINAL PRUNED [PRUNED2 ...]`."""
    example = f"prunescope report {DEMO} {PRUNED} \\\n      --trace -o report.html"
    path = click.Path(path_type=Path)

    @click.command("report", help=help_text(say, "help_report", example))
    @click.argument("original", type=click.Path())
    @click.argument("pruned", nargs=-1, required=True, type=click.Path())
    @click.option("--output", "-o", default=DEFAULT_OUTPUT, show_default=True, type=path,
                  help=say("help_report_output"))  # fmt: skip
    @click.option("--plot", type=path, help=say("help_plot_one"))
    @click.option("--plot-width", default="double", show_default=True,
                  type=click.Choice(WIDTHS), help=say("help_plot_width"))  # fmt: skip
    @click.option("--eval", "evaluations", multiple=True, type=path, help=say("help_report_eval"))
    @click.option("--trace", is_flag=True, help=say("help_report_trace"))
    @click.option("--weights", is_flag=True, help=say("help_weights"))
    @click.option("--sha256", is_flag=True, help=say("help_sha256"))
    @click.option("--layers", help=say("help_layers"))
    @click.option("--expect-sparsity", type=float, help=say("help_expect_sparsity"))
    @click.option("--context", default=4096, show_default=True, type=click.IntRange(min=1),
                  help=say("help_context"))  # fmt: skip
    @click.option("--batch", default=1, show_default=True, type=click.IntRange(min=1),
                  help=say("help_batch"))  # fmt: skip
    @click.option("--device", type=click.Choice(list(devices())), metavar="NAME",
                  help=say("help_cost_device", names=", ".join(devices())))  # fmt: skip
    @click.option("--quiet", is_flag=True, help=say("help_quiet"))
    @language_option(say)
    def command(
        original: str,
        pruned: tuple[str, ...],
        **options: Any,
    ) -> None:
        _report(say, original, pruned, _Asked(**options))

    return command


def _report(say: Messages, original: str, pruned: Sequence[str], asked: _Asked) -> None:
    if len({original, *pruned}) <= len(pruned):
        raise click.UsageError("a model is named twice")
    if len(pruned) > MOST_PRUNED:
        raise click.UsageError(f"at most {MOST_PRUNED} pruned models, not {len(pruned)}")
    if asked.output.suffix.lower() not in SUFFIXES:
        raise PrunescopeError(f"{asked.output}: a report ends in {', '.join(SUFFIXES)}")
    check_file(asked.output)
    if asked.plot is not None:
        _check_plot(asked.plot, pruned)
    from prunescope.analysis.evaluation_file import match, read_evaluations
    from prunescope.analysis.overview import overview
    from prunescope.checkpoint import open_checkpoint
    from prunescope.report.html.page import page
    from prunescope.report.html.render import write_page

    measured = [one for path in asked.evaluations for one in read_evaluations(path)]
    models = [open_checkpoint(path) for path in (original, *pruned)]
    if asked.plot is not None:
        check_file(asked.plot, *models)
    matched, others = match(measured, [one.path for one in models])
    found = overview(models[0], models[1:], _question(say, asked, matched))
    files = _files(say, models, asked)
    command = _command([one.path for one in models], asked)
    write_page(page(found, files, others, command, _versions()), asked.output, say.language)
    click.echo(say("report_written", path=asked.output))
    if asked.plot is not None:
        from prunescope.report.plot import plot_sparsity

        plot_sparsity(found.models[0].comparison, asked.plot, say, asked.plot_width)
        click.echo(say("plot_written", path=asked.plot))


def _check_plot(path: Path, pruned: Sequence[str]) -> None:
    from prunescope.report.plot import check_plot

    if len(pruned) > 1:
        raise click.UsageError("--plot draws one pruned model: name one, or plot each with analyze")
    check_plot(path)


def _question(say: Messages, asked: _Asked, matched: dict[str, Evaluated]) -> Question:
    from prunescope.analysis.expectation import Wanted
    from prunescope.analysis.overview import Question
    from prunescope.analysis.workload import Workload

    return Question(
        Workload(asked.context, asked.batch),
        devices()[asked.device] if asked.device else None,
        Wanted(half_open(asked.layers), asked.expect_sparsity),
        matched,
        (lambda before, after: _traced(say, before, after, asked.quiet)) if asked.trace else None,
        weights_reader(say, asked.quiet) if asked.weights else None,
    )


def _traced(say: Messages, original: Checkpoint, pruned: Checkpoint, quiet: bool) -> Trace:
    from prunescope.analysis.trace.run import trace
    from prunescope.report.progress import progress

    return trace(original, pruned, lambda steps: progress(say("trace_reading"), steps, quiet))


def _files(say: Messages, models: Sequence[Checkpoint], asked: _Asked) -> list[FileFact]:
    from prunescope.analysis.provenance import provenance
    from prunescope.report.progress import progress

    steps = sum(len(one.files) for one in models)
    with progress(say("report_hashing"), steps, asked.quiet or not asked.sha256) as tick:
        return [fact for one in models for fact in provenance(one, asked.sha256, tick)]


def _command(paths: Sequence[str], asked: _Asked) -> str:
    """As it can be typed again; models by the names that may be shown, without passwords."""
    words = ["prunescope", "report", *paths]
    for name, value in (
        ("--layers", asked.layers),
        ("--expect-sparsity", asked.expect_sparsity),
        ("--context", asked.context),
        ("--batch", asked.batch),
        ("--device", asked.device),
    ):
        words += [] if value is None else [name, str(value)]
    words += [word for path in asked.evaluations for word in ("--eval", str(path))]
    words += [f"--{name}" for name in ("trace", "weights", "sha256") if getattr(asked, name)]
    if asked.plot is not None:
        words += ["--plot", str(asked.plot), "--plot-width", asked.plot_width]
    return shlex.join([*words, "--output", str(asked.output)])


def _versions() -> list[tuple[str, str]]:
    import platform

    from prunescope import __version__

    return [("prunescope", __version__), ("Python", platform.python_version())]
