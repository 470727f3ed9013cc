"""What do the options of the pruner say about scoring? Measured now, or read from a file."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunescope.errors import PlanError
from prunescope.report.messages import Messages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prunescope.architecture import Model
    from prunescope.pruning.calibration import CalibrationRecord, CalibrationSet
    from prunescope.pruning.plan import Importance, PruningPlan
    from prunescope.pruning.scores import Scores
    from prunescope.pruning.scoring import Computing
    from prunescope.pruning.targets import Target

IMPORTANCE = ("random", "l1", "l2", "taylor", "wanda", "flap")
TAYLOR = ("vectorize", "param_first", "param_second", "param_mix")
_DTYPES = ("float32", "bfloat16", "float16")


def scoring_options(
    say: Messages, importance: Importance, length: int
) -> list[Callable[[Any], Any]]:
    """The options that say how importance is measured.

    Args:
        importance: how, by default.
        length: on windows of as many tokens, by default.
    """
    option = partial(click.option, show_default=True)
    return [
        option("--pruner_type", default=importance, type=click.Choice(IMPORTANCE),
               help=say("help_pruner_type")),
        option("--taylor", default="param_first", type=click.Choice(TAYLOR),
               help=say("help_taylor")),
        option("--num_examples", default=10, type=click.IntRange(min=1),
               help=say("help_num_examples")),
        option("--calibration", type=click.Path(), help=say("help_calibration")),
        option("--calibration_seq_len", default=length, type=click.IntRange(min=2),
               help=say("help_calibration_len")),
        option("--device", help=say("help_device")),
        option("--dtype", type=click.Choice(_DTYPES), help=say("help_dtype")),
        option("--resume", is_flag=True, help=say("help_resume")),
        option("--save_scores", type=click.Path(path_type=Path), help=say("help_save_scores")),
        option("--scores", type=click.Path(path_type=Path), help=say("help_scores")),
    ]  # fmt: skip


def check_scoring(options: dict[str, Any]) -> None:
    """Refuse options that do not go together.

    Raises:
        PlanError: scores are read and measured at once, or random ones kept.
    """
    if options["scores"] and (options["save_scores"] or options["resume"]):
        raise PlanError("--scores measures nothing that --save_scores or --resume could keep")
    if options["iterative_steps"] > 1 and (options["scores"] or options["save_scores"]):
        raise PlanError("--iterative_steps measures anew after each step: no scores to keep")
    if options["pruner_type"] == "random" and (options["scores"] or options["save_scores"]):
        raise PlanError("random importance has no scores to keep")


def scored(
    model: Model,
    plan: PruningPlan,
    targets: Sequence[Target],
    options: dict[str, Any],
    computing: Computing,
    calibration: CalibrationSet | None,
    text: str,
) -> tuple[Scores, CalibrationRecord | None]:
    """The scores of `targets` and what they were measured on, as the options say.

    Args:
        text: what the progress bar says.
    """
    from prunescope.checkpoint.weights import WeightMap
    from prunescope.pruning.scores_file import load_scores, save_scores
    from prunescope.pruning.scoring import all_axes, axes_of, score
    from prunescope.report.progress import progress

    axes = axes_of(targets)
    if options["scores"]:
        return load_scores(options["scores"], plan, model.checkpoint, axes)
    if options["save_scores"]:
        axes = all_axes(model)
    is_quiet = options["quiet"] or computing.processes.rank > 0
    record = None if calibration is None else calibration.record
    with WeightMap() as weights:
        scores = score(
            model.checkpoint,
            axes,
            plan,
            calibration,
            weights,
            computing,
            lambda steps: progress(text, steps, is_quiet),
        )
    if options["save_scores"] and not computing.processes.rank:
        save_scores(options["save_scores"], scores, plan, model.checkpoint, record)
    return scores, record


def calibration_set(model: Model, plan: PruningPlan, source: str | None) -> CalibrationSet:
    """The calibration windows that `plan` asks for, from `source`."""
    from prunescope.data.hub import MAX_STREAMED
    from prunescope.data.sources import documents
    from prunescope.interop.tokenizer import token_ids
    from prunescope.pruning.calibration import choose_windows

    found = documents(source, "calibration")
    # More than any calibration set needs, and quickly cut into tokens.
    tokens = token_ids(model, found.whole[:MAX_STREAMED])
    return choose_windows(tokens, plan.examples, plan.example_length, plan.seed, found.name)
