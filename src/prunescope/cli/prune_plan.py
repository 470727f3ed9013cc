"""Which plan do the pruner's options make?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.errors import PlanError

if TYPE_CHECKING:
    from prunescope.pruning.budget import Budget
    from prunescope.pruning.plan import PruningPlan, Structure

BUDGETS = ("target_sparsity", "target_params", "target_memory")
STRUCTURES: dict[str, Structure] = {
    "block_wise": "block",
    "channel_wise": "channel",
    "layer_wise": "layer",
}


def plan_of(values: Mapping[str, Any], depth: int) -> PruningPlan:
    """The plan that the options make for a model of `depth` layers.

    Raises:
        PlanError: a ratio of layers or a budget cannot be read.
    """
    from prunescope.pruning.plan import PruningPlan

    structure: Structure = next((s for name, s in STRUCTURES.items() if values[name]), "block")
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
        everywhere=allocation(values) == "global",
        knapsack=allocation(values) == "knapsack",
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


def has_budget(values: Mapping[str, Any]) -> bool:
    """Whether a size of the result was asked for."""
    return any(values[name] is not None for name in BUDGETS)


def allocation(values: Mapping[str, Any]) -> str:
    """How layers share what goes; a search tries each way itself."""
    asked: str = "global" if values["global_pruning"] else values["allocation"]
    if asked != "auto":
        return asked
    is_whole = values["channel_wise"] or values["layer_wise"]
    # Steps share out evenly; heads of `naive` have no budget; random scores say nothing.
    elsewhere = values["search"] or values["iterative_steps"] > 1 or values["gqa"] == "naive"
    by_score = has_budget(values) and values["pruner_type"] != "random"
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
    entries: Iterable[tuple[str, Any]]
    if text.endswith(".json"):
        from prunescope.checkpoint.jsonfile import read_object
        from prunescope.checkpoint.storage import LocalFile

        entries = read_object(LocalFile(Path(text)), "ratios of layers").items()
    else:
        entries = [part.strip().partition(":")[::2] for part in text.split(",")]
    ratios: dict[int, dict[str, float]] = {}
    for layer, ratio in entries:
        known = ratio if isinstance(ratio, dict) else {"attention": ratio, "mlp": ratio}
        if not (layer.isascii() and layer.isdigit() and len(layer) < 7):
            raise PlanError(f"--layer_ratios: {layer!r} is no layer's number")
        if int(layer) in ratios:
            raise PlanError(f"--layer_ratios: layer {int(layer)} is named twice")
        try:
            ratios[int(layer)] = {kind: float(value) for kind, value in known.items()}
        except (TypeError, ValueError):
            raise PlanError(f"--layer_ratios: {ratio!r} of layer {layer} is no ratio") from None
    return ratios
