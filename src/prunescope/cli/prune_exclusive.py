"""Which of the pruner's options exclude or need each other?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prunescope.cli.prune_plan import BUDGETS, STRUCTURES, allocation, has_budget
from prunescope.errors import PlanError

_BLOCKS = (
    "block_attention_layer_start", "block_attention_layer_end",
    "block_mlp_layer_start", "block_mlp_layer_end",
)  # fmt: skip
# Option → what it belongs to: asked for without it, it would be ignored.
_BELONGS = {
    "layer": "layer_wise",
    "depth_by": "layer_wise",
    "batch": "target_memory",
    "context": "target_memory",
    "search_tokens": "search",
    "search_csv": "search",
    "plot": "search",
}
# What a pruning.json has said already.
_PLANNING = frozenset({
    "pruning_ratio", "pruner_type", "taylor", "grouping_strategy", *STRUCTURES, "layer",
    "depth_by", *_BLOCKS, "gqa", "layer_ratios", "round_to", *BUDGETS, "batch", "context",
    "iterative_steps", "global_pruning", "allocation", "layer_floor", "num_examples",
    "calibration", "calibration_seq_len", "search", "dtype", "resume", "scores", "save_scores",
})  # fmt: skip


def check(values: Mapping[str, Any], asked: frozenset[str]) -> None:
    """Refuse options that contradict each other, and those without what they belong to.

    Args:
        values: of all options.
        asked: the options that were given.

    Raises:
        PlanError: there are such options.
    """
    _at_most_one([name for name in STRUCTURES if values[name]])
    _at_most_one([name for name in (*BUDGETS, "layer_ratios") if values.get(name) is not None])
    for name, owner in _BELONGS.items():
        if name in asked and not values[owner]:
            raise PlanError(f"--{name} belongs to --{owner}")
    if values["plan"] is not None:
        _exclusive("plan", asked & _PLANNING)
    for name in (*BUDGETS, "layer_ratios"):
        if values[name] is not None:
            _exclusive(name, asked & {"pruning_ratio", "layer"})
    if values["layer_ratios"] is not None:
        _exclusive("layer_ratios", asked & {*_BLOCKS})
    for name in ("channel_wise", "layer_wise"):
        if values[name]:
            others = {*_BLOCKS, "gqa", "global_pruning", "allocation", "layer_ratios"}
            _exclusive(name, asked & others)
    if values["global_pruning"]:
        _exclusive("global_pruning", asked & {"allocation"})
    if values["search"]:
        others = {"layer_ratios", "global_pruning", "allocation", "iterative_steps"}
        _exclusive("search", asked & {*others, "plan", "channel_wise", "layer_wise"})
        tokens, window = values["search_tokens"], values["max_seq_len"]
        if tokens < window:
            raise PlanError(f"--search_tokens {tokens} hold no window of --max_seq_len {window}")
    for name, is_asked in (
        ("search", values["search"]),
        ("allocation knapsack", values["allocation"] == "knapsack"),
    ):
        if is_asked and not has_budget(values):
            raise PlanError(f"--{name} needs a budget: one of --{', --'.join(BUDGETS)}")
    if "layer_floor" in asked and not values["search"] and allocation(values) == "uniform":
        raise PlanError("--layer_floor belongs to --allocation global or knapsack")
    if values["layer_wise"]:
        _exclusive("layer_wise", asked & {"pruning_ratio", "round_to"})


def _exclusive(name: str, others: frozenset[str] | set[str]) -> None:
    if others:
        raise PlanError(f"--{name} and --{min(others)} exclude each other")


def _at_most_one(names: list[str]) -> None:
    if len(names) > 1:
        raise PlanError(f"--{names[0]} and --{names[1]} exclude each other")
