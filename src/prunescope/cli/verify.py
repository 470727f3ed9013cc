"""`prunescope verify`: is a pruned model what it should be?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from prunescope.analysis.expectation import TOLERANCE, Wanted
from prunescope.cli.given import refuse_unused
from prunescope.cli.help_text import DEMO, PRUNED, help_text
from prunescope.cli.output import Output, check_file, output_options
from prunescope.cli.run import language_option
from prunescope.errors import PlanError
from prunescope.report.messages import Messages

if TYPE_CHECKING:
    from prunescope.analysis.checks import Check
    from prunescope.analysis.verify import Verification
    from prunescope.architecture import Model

MOST_MODELS = 2


def subcommand(say: Messages) -> click.Command:
    """`prunescope verify [ORIGINAL] PRUNED`."""
    example = f"prunescope verify {DEMO} {PRUNED} \\\n      --layers 3:27 --expect-sparsity 0.171"

    @click.command("verify", help=help_text(say, "help_verify", example))
    @click.argument("models", nargs=-1, required=True, metavar="[ORIGINAL] PRUNED",
                    type=click.Path())  # fmt: skip
    @click.option("--layers", help=say("help_layers"))
    @click.option("--expect-sparsity", type=float, help=say("help_expect_sparsity"))
    @click.option("--expect-ratio", type=float, help=say("help_expect_ratio"))
    @click.option(
        "--tolerance", type=float, default=TOLERANCE, show_default=True, help=say("help_tolerance")
    )
    @click.option("--weights", is_flag=True, help=say("help_weights"))
    @click.option("--junit", type=click.Path(path_type=Path), help=say("help_junit"))
    @output_options(say)
    @language_option(say)
    def command(
        models: tuple[str, ...],
        layers: str | None,
        expect_sparsity: float | None,
        expect_ratio: float | None,
        tolerance: float,
        weights: bool,
        junit: Path | None,
        output: Output,
    ) -> int:
        expected = expect_sparsity is not None or expect_ratio is not None
        refuse_unused((("tolerance",), expected, "--expect-sparsity or --expect-ratio"))
        if len(models) > MOST_MODELS:
            raise click.UsageError(f"one model or two, not {len(models)}: [ORIGINAL] PRUNED")

        wanted = Wanted(half_open(layers), expect_sparsity, expect_ratio, tolerance)
        found = _verified(say, models, wanted, weights, output.quiet, junit)
        return report(say, found, output, junit)

    return command


def report(say: Messages, found: Verification, output: Output, junit: Path | None) -> int:
    """Print `found`, write it for CI where a file is named; 1 where a check failed, else 0."""
    if junit is not None:
        from prunescope.report.junit import write_junit

        write_junit(found, junit, say)
    if output.medium == "json":
        from prunescope.report.json_output import verification_json

        output.data(verification_json(found))
    else:
        from prunescope.report.verify import print_verification

        print_verification(found, output.screen(), say)
    if junit is not None:
        output.note(say("written", path=junit))
    return 1 if found.failed else 0


def _verified(
    say: Messages,
    models: tuple[str, ...],
    wanted: Wanted,
    weights: bool,
    quiet: bool,
    junit: Path | None,
) -> Verification:
    from prunescope.analysis.verify import verify
    from prunescope.checkpoint import open_checkpoint

    *original, pruned = map(open_checkpoint, models)
    if junit is not None:
        check_file(junit, *original, pruned)
    read = weights_reader(say, quiet) if weights else None
    return verify(pruned, original[0] if original else None, wanted, read)


def weights_reader(say: Messages, quiet: bool) -> Callable[[Model], tuple[Check, ...]]:
    """What reads the weights for `analysis.verify.verify`, and shows how far it is."""
    from prunescope.analysis.checks.values import tensors_read, value_checks
    from prunescope.report.progress import progress

    def read(model: Model) -> tuple[Check, ...]:
        with progress(say("verify_reading"), tensors_read(model), quiet) as tick:
            return value_checks(model, tick)

    return read


def half_open(text: str | None) -> tuple[int, int] | None:
    """The range of `--layers`, `3:30`; None where it is not given.

    Raises:
        PlanError: it is no such range.
    """
    if text is None:
        return None
    start, colon, end = text.partition(":")
    if not colon or not all(part.isascii() and part.isdigit() for part in (start, end)):
        raise PlanError(f"--layers {text!r} is no half-open range such as 3:30")
    return int(start[:9]), int(end[:9])
