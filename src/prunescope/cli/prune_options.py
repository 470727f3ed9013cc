"""Which options has the pruner, and which plan do they make?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prunescope.cli.prune_scoring import scoring_options
from prunescope.errors import PlanError
from prunescope.interop.formats import FORMATS, Format
from prunescope.report.messages import Messages

if TYPE_CHECKING:
    from prunescope.pruning.budget import Budget
    from prunescope.pruning.plan import Importance, PruningPlan, Structure

_F = TypeVar("_F", bound=Callable[..., Any])
_GROUPING = ("sum", "mean", "max", "prod", "first")
_BUDGETS = ("target_sparsity", "target_params", "target_memory")
_ALLOCATIONS = ("auto", "uniform", "global", "knapsack")
_STRUCTURES: dict[str, Structure] = {
    "block_wise": "block",
    "channel_wise": "channel",
    "layer_wise": "layer",
}
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


def options(
    say: Messages, form: Format, importance: Importance, length: int, allocation: str
) -> Callable[[_F], _F]:
    """Decorate a command with the pruner's options.

    Args:
        form: what it saves by default.
        importance: how it scores by default.
        length: on windows of as many tokens by default.
        allocation: how layers share by default what goes.
    """
    option = partial(click.option, show_default=True)
    whole = click.IntRange(min=1)
    file = click.Path(path_type=Path)
    every = [
        option("--base_model", required=True, type=click.Path(), help=say("help_base_model")),
        option("--save_ckpt_log_name", default="llama_prune", help=say("help_save_name")),
        option("--pruning_ratio", default=0.5, help=say("help_pruning_ratio")),
        *scoring_options(say, importance, length),
        option("--grouping_strategy", default="sum", type=click.Choice(_GROUPING),
               help=say("help_grouping")),
        option("--block_wise", is_flag=True, help=say("help_block_wise")),
        option("--channel_wise", is_flag=True, help=say("help_channel_wise")),
        option("--layer_wise", is_flag=True, help=say("help_layer_wise")),
        option("--layer", default=12, help=say("help_layer")),
        option("--depth_by", default="first", type=click.Choice(["first", "influence"]),
               help=say("help_depth_by")),
        option("--block_attention_layer_start", default=3, help=say("help_attention_start")),
        option("--block_attention_layer_end", type=int, show_default=say("help_layer_end"),
               help=say("help_attention_end")),
        option("--block_mlp_layer_start", default=3, help=say("help_mlp_start")),
        option("--block_mlp_layer_end", type=int, show_default=say("help_layer_end"),
               help=say("help_mlp_end")),
        option("--gqa", default="group", type=click.Choice(["group", "query", "naive"]),
               help=say("help_gqa")),
        option("--layer_ratios", help=say("help_layer_ratios")),
        option("--round_to", default=1, type=whole, help=say("help_round_to")),
        option("--target_sparsity", type=float, help=say("help_target_sparsity")),
        option("--target_params", help=say("help_target_params")),
        option("--target_memory", help=say("help_target_memory")),
        option("--batch", default=1, type=whole, help=say("help_prune_batch")),
        option("--context", default=4096, type=whole, help=say("help_prune_context")),
        option("--iterative_steps", default=1, type=whole, help=say("help_iterative_steps")),
        option("--global_pruning", is_flag=True, help=say("help_global")),
        option("--allocation", default=allocation, type=click.Choice(_ALLOCATIONS),
               help=say("help_allocation")),
        option("--layer_floor", default=0.1, help=say("help_layer_floor")),
        option("--search", is_flag=True, help=say("help_search")),
        option("--search_tokens", default=2048, type=whole, help=say("help_search_tokens")),
        option("--search_csv", type=file, help=say("help_search_csv")),
        option("--plot", type=file, help=say("help_search_plot")),
        option("--plan", type=file, help=say("help_plan")),
        option("--max_seq_len", default=128, type=click.IntRange(min=2),
               help=say("help_max_seq_len")),
        option("--eval_device", help=say("help_eval_device")),
        option("--test_before_train", is_flag=True, help=say("help_test_before")),
        option("--test_after_train", is_flag=True, help=say("help_test_after")),
        option("--temperature", default=1.0, type=click.FloatRange(min=0),
               help=say("help_temperature")),
        option("--top_p", default=0.95, type=click.FloatRange(0, 1, min_open=True),
               help=say("help_top_p")),
        option("--seed", default=42, type=click.IntRange(0, 2**64 - 1), help=say("help_seed")),
        option("--save_model", is_flag=True, help=say("help_save_model")),
        option("--save_format", default=form, type=click.Choice(FORMATS), help=say("help_format")),
        option("--uniform", is_flag=True, help=say("help_uniform")),
        option("--quiet", is_flag=True, help=say("help_quiet")),
    ]  # fmt: skip

    def decorate(function: _F) -> _F:
        for decorator in reversed(every):
            function = decorator(function)
        return function

    return decorate


def check(values: Mapping[str, Any], asked: frozenset[str]) -> None:
    """Refuse options that this version lacks, and those that would be ignored.

    Args:
        values: of all options.
        asked: the options that were given.

    Raises:
        PlanError: there is such an option.
    """
    _at_most_one([name for name in _STRUCTURES if values[name]])
    _at_most_one([name for name in (*_BUDGETS, "layer_ratios") if values.get(name) is not None])
    for name, owner in _BELONGS.items():
        if name in asked and not values[owner]:
            raise PlanError(f"--{name} belongs to --{owner}")
    if values["plan"] is not None:
        _exclusive("plan", asked & _PLANNING)
    for name in (*_BUDGETS, "layer_ratios"):
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
    for name, is_asked in (
        ("search", values["search"]),
        ("allocation knapsack", values["allocation"] == "knapsack"),
    ):
        if is_asked and not _has_budget(values):
            raise PlanError(f"--{name} needs a budget: one of --{', --'.join(_BUDGETS)}")
    if "layer_floor" in asked and not values["search"] and _allocation(values) == "uniform":
        raise PlanError("--layer_floor belongs to --allocation global or knapsack")
    if values["layer_wise"]:
        _exclusive("layer_wise", asked & {"pruning_ratio", "round_to"})


# What a pruning.json has said already.
_PLANNING = frozenset({
    "pruning_ratio", "pruner_type", "taylor", "grouping_strategy", *_STRUCTURES, "layer",
    "depth_by", *_BLOCKS, "gqa", "layer_ratios", "round_to", *_BUDGETS, "batch", "context",
    "iterative_steps", "global_pruning", "allocation", "layer_floor", "num_examples",
    "calibration", "calibration_seq_len", "search", "dtype", "resume", "scores", "save_scores",
})  # fmt: skip


def _exclusive(name: str, others: frozenset[str] | set[str]) -> None:
    if others:
        raise PlanError(f"--{name} and --{min(others)} exclude each other")


def _at_most_one(names: list[str]) -> None:
    if len(names) > 1:
        raise PlanError(f"--{names[0]} and --{names[1]} exclude each other")


def plan_of(values: Mapping[str, Any], depth: int) -> PruningPlan:
    """The plan that the options make for a model of `depth` layers.

    Raises:
        PlanError: a ratio of layers or a budget cannot be read.
    """
    from prunescope.pruning.plan import PruningPlan

    structure: Structure = next((s for name, s in _STRUCTURES.items() if values[name]), "block")
    budget = _budget(values)
    ratios = values["layer_ratios"]
    return PruningPlan(
        ratio=values["pruning_ratio"],
        attention=_range(values, "attention", depth),
        mlp=_range(values, "mlp", depth),
        importance=values["pruner_type"],
        taylor=values["taylor"],
        grouping=values["grouping_strategy"],
        examples=values["num_examples"],
        example_length=values["calibration_seq_len"],
        seed=values["seed"],
        structure=structure,
        gqa=values["gqa"],
        layers=values["layer"] if structure == "layer" and budget is None else None,
        depth_by=values["depth_by"],
        everywhere=_allocation(values) == "global",
        knapsack=_allocation(values) == "knapsack",
        floor=values["layer_floor"],
        steps=values["iterative_steps"],
        layer_ratios=None if ratios is None else _layer_ratios(ratios),
        round_to=values["round_to"],
        budget=budget,
    )


def _range(values: Mapping[str, Any], kind: str, depth: int) -> tuple[int, int]:
    end = values[f"block_{kind}_layer_end"]
    # LLM-Pruner's number; of 32 layers it leaves the last one whole.
    end = min(31, depth - 1) if end is None else end
    return values[f"block_{kind}_layer_start"], end


def _has_budget(values: Mapping[str, Any]) -> bool:
    return any(values[name] is not None for name in _BUDGETS)


def _allocation(values: Mapping[str, Any]) -> str:
    """How layers share what goes; a search tries each way itself."""
    asked: str = "global" if values["global_pruning"] else values["allocation"]
    if asked != "auto":
        return asked
    is_whole = values["channel_wise"] or values["layer_wise"]
    # Steps share out evenly; heads of `naive` have no budget; random scores say nothing.
    elsewhere = values["search"] or values["iterative_steps"] > 1 or values["gqa"] == "naive"
    by_score = _has_budget(values) and values["pruner_type"] != "random"
    return "knapsack" if by_score and not is_whole and not elsewhere else "uniform"


def _budget(values: Mapping[str, Any]) -> Budget | None:
    from prunescope.pruning.budget import Budget, parse_bytes, parse_count

    if values["target_sparsity"] is not None:
        return Budget("sparsity", values["target_sparsity"])
    if values["target_params"] is not None:
        return Budget("parameters", parse_count(values["target_params"]))
    if values["target_memory"] is not None:
        size = parse_bytes(values["target_memory"])
        return Budget("memory", size, values["batch"], values["context"])
    return None


def _layer_ratios(text: str) -> dict[int, dict[str, float]]:
    """`3:0.1,4:0.3`, or a JSON file: layer → ratio, or layer → group → ratio."""
    entries: Mapping[str, Any]
    if text.endswith(".json"):
        from prunescope.checkpoint.jsonfile import read_object
        from prunescope.checkpoint.storage import LocalFile

        entries = read_object(LocalFile(Path(text)), "ratios of layers")
    else:
        entries = dict(part.strip().partition(":")[::2] for part in text.split(","))
    ratios = {}
    for layer, ratio in entries.items():
        known = ratio if isinstance(ratio, dict) else {"attention": ratio, "mlp": ratio}
        if not (layer.isascii() and layer.isdigit() and len(layer) < 7):
            raise PlanError(f"--layer_ratios: {layer!r} is no layer's number")
        try:
            ratios[int(layer)] = {kind: float(value) for kind, value in known.items()}
        except (TypeError, ValueError):
            raise PlanError(f"--layer_ratios: {ratio!r} of layer {layer} is no ratio") from None
    return ratios
