"""Which of the pruner's options would be ignored, given the others?

`prune_exclusive.check` knows those that contradict each other. These do not: they say how something
is done that is not done at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from prunescope.cli.given import Rule, unused
from prunescope.errors import PlanError

# LLM-Pruner's scripts have them, and take them with any measure: `llama3.py` runs the command lines
# that were written for those.
_LLM_PRUNERS = frozenset({
    "save_ckpt_log_name", "pruner_type", "taylor", "grouping_strategy", "num_examples",
    "eval_device", "max_seq_len", "temperature", "top_p", "seed",
})  # fmt: skip


def check_unused(
    context: click.Context, values: Mapping[str, Any], is_script: bool
) -> tuple[str, ...]:
    """Refuse options that were given and have no effect.

    Args:
        is_script: a command of LLM-Pruner's options, which may be without effect.

    Returns:
        What there is to say of those that may.

    Raises:
        PlanError: there are others.
    """
    found = unused(context, *_rules(values))
    for name, cause in found.items():
        if not is_script or name not in _LLM_PRUNERS:
            raise PlanError(cause)
    return tuple(found.values())


def _rules(values: Mapping[str, Any]) -> tuple[Rule, ...]:
    from prunescope.pruning.plan import CALIBRATED

    measure, by_depth = values["pruner_type"], values["layer_wise"]
    has_influence = by_depth and values["depth_by"] == "influence"
    is_random = measure == "random" and not by_depth
    is_calibrated = has_influence if by_depth else measure in CALIBRATED
    is_measured = is_calibrated and not values["scores"] and values["plan"] is None
    calibrated = "--depth_by influence" if by_depth else "--pruner_type taylor, wanda or flap"
    measured = "scores that are measured, not to --scores" if values["scores"] else calibrated
    is_tested = values["test_before_train"] or values["test_after_train"]
    tests = "--test_before_train or --test_after_train"
    tried = "--search, --test_before_train or --test_after_train"
    is_done = values["plan"] is not None or values["scores"]
    sampled = "--depth_by influence" if by_depth else "a calibrated or random --pruner_type"
    drawn = tests if is_done else f"{sampled}, {tests}"
    return (
        (("pruner_type", "taylor", "grouping_strategy"), not by_depth,
         "--block_wise or --channel_wise"),
        (("taylor",), measure == "taylor", "--pruner_type taylor"),
        (("grouping_strategy",), not is_random, "a --pruner_type that has scores"),
        (("scores", "save_scores"), has_influence or not by_depth, "--depth_by influence"),
        (("num_examples", "calibration", "calibration_seq_len", "dtype"), is_measured, measured),
        (("resume",), is_calibrated, calibrated),
        (("max_seq_len", "eval_device"), is_tested or values["search"], tried),
        (("temperature", "top_p"), is_tested, tests),
        (("seed",), is_tested or is_random or is_measured, drawn),
        (("save_format", "uniform"), values["save_model"], "--save_model"),
        (("save_ckpt_log_name",), values["save_model"] or values["resume"], "--save_model"),
    )  # fmt: skip
