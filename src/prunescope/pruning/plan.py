"""What was asked for: everything that decides a pruning run's result, but for the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from prunescope.analysis.record import Gqa
from prunescope.errors import PlanError
from prunescope.pruning.budget import Budget

Importance = Literal["random", "l1", "l2", "taylor", "wanda", "flap"]
TaylorForm = Literal["param_first", "vectorize", "param_second", "param_mix"]
# Those that are measured on calibration windows.
CALIBRATED = ("taylor", "wanda", "flap")
Grouping = Literal["sum", "mean", "max", "prod", "first"]
Structure = Literal["block", "channel", "layer"]
DepthBy = Literal["first", "influence"]


@dataclass(frozen=True, slots=True)
class PruningPlan:
    """A pruning run, but for the model: everything that decides its result.

    Attributes:
        ratio: share of the units of each pruned layer to remove, in [0, 1).
        attention, mlp: half-open layer ranges `(start, end)`.
        importance: how a weight is scored.
        taylor: the form of the Taylor score.
        grouping: how the scores of a group's members are combined.
        examples, example_length: the calibration set: windows, and tokens in each.
        seed: of the calibration windows and of random scores.
        structure: `block` for heads and channels of layers, `channel` for the hidden dimension of
            the whole model, `layer` for whole layers.
        gqa: what a unit of attention is.
        layers: how many layers `layer` keeps; None where a budget says.
        depth_by: which layers it keeps: the first ones, as LLM-Pruner, or those that change what
            passes through them most.
        everywhere: rank units across layers rather than in each: then `ratio` is of all units of
            a kind together.
        knapsack: meet the budget by the removals that lose the least score, wherever they are.
        floor: share of its units that each layer keeps all the same, with these two.
        steps: how often scores are measured anew on what is left.
        layer_ratios: layer → kind → ratio, instead of `ratio`, `attention` and `mlp`.
        round_to: widths (channels, the hidden size) are kept multiples of it; those of experts
            of 8 too, which transformers computes no others of.
        budget: what is left may need this much, instead of `ratio`.
    """

    ratio: float
    attention: tuple[int, int]
    mlp: tuple[int, int]
    importance: Importance = "taylor"
    taylor: TaylorForm = "param_first"
    grouping: Grouping = "sum"
    examples: int = 10
    example_length: int = 64
    seed: int = 42
    structure: Structure = "block"
    gqa: Gqa = "group"
    layers: int | None = None
    depth_by: DepthBy = "first"
    everywhere: bool = False
    knapsack: bool = False
    floor: float = 0.1
    steps: int = 1
    layer_ratios: Mapping[int, Mapping[str, float]] | None = None
    round_to: int = 1
    budget: Budget | None = None

    @property
    def is_calibrated(self) -> bool:
        """Whether a calibration set is needed."""
        if self.structure == "layer":
            return self.depth_by == "influence"
        return self.importance in CALIBRATED

    @property
    def has_floor(self) -> bool:
        """Whether layers lose different shares, so that each needs a floor."""
        return self.everywhere or self.knapsack

    def as_dict(self) -> dict[str, Any]:
        """The plan as `pruning.json` holds it; what the method does not use is left out."""
        plan = asdict(self)
        unused = {key for key, value in _DEFAULTS.items() if plan[key] == value}
        if not self.is_calibrated:
            unused |= {"examples", "example_length"}
        if self.importance != "taylor":
            unused |= {"taylor"}
        if self.importance == "random":
            unused |= {"grouping"}
        if not self.has_floor:
            unused |= {"floor"}
        if self.structure != "block":
            unused |= {"attention", "mlp"}
        if self.structure == "layer":
            unused |= {"ratio", "importance", "taylor", "grouping"}
        else:
            unused |= {"depth_by"}
        if self.layer_ratios is not None:
            unused |= {"ratio", "attention", "mlp"}
        if self.budget is not None:
            unused |= {"ratio"}
        return {key: value for key, value in plan.items() if key not in unused}


# Of the keys that a plan without them means.
_DEFAULTS: dict[str, Any] = {
    "structure": "block",
    "gqa": "group",
    "layers": None,
    "everywhere": False,
    "knapsack": False,
    "steps": 1,
    "layer_ratios": None,
    "round_to": 1,
    "budget": None,
}


def check_plan(plan: PruningPlan) -> None:
    """Raise PlanError for what no model can give: see `resolve`."""
    if not (math.isfinite(plan.ratio) and 0 <= plan.ratio < 1):
        raise PlanError(f"pruning ratio {plan.ratio} is not in [0, 1)")
    if plan.is_calibrated and (plan.examples < 1 or plan.example_length < 2):
        depth = plan.structure == "layer"
        what = "block influence" if depth else f"{plan.importance.capitalize()} importance"
        raise PlanError(f"{what} needs at least 1 example of at least 2 tokens")
    if plan.round_to < 1 or plan.steps < 1:
        raise PlanError("round_to and steps are at least 1")
    if not (math.isfinite(plan.floor) and 0 <= plan.floor < 1):
        raise PlanError(f"layer floor {plan.floor} is not in [0, 1)")
    if plan.gqa == "naive" and (plan.steps > 1 or plan.everywhere or plan.budget is not None):
        raise PlanError(
            "naive GQA pruning takes a ratio, in each layer and in one step: most other numbers "
            "leave query heads that cannot share the KV heads"
        )
    if plan.layer_ratios is not None and plan.budget is not None:
        raise PlanError("ratios of layers and a budget exclude each other")
    if plan.structure != "block" and (plan.everywhere or plan.layer_ratios is not None):
        raise PlanError("a ranking across layers and ratios of layers belong to block-wise pruning")
    if plan.knapsack and (
        plan.budget is None or plan.structure != "block" or plan.steps > 1 or plan.everywhere
    ):
        raise PlanError("a knapsack allocation needs a budget, and is block-wise and in one step")
    if plan.structure != "layer" and (plan.layers is not None or plan.depth_by != "first"):
        raise PlanError("a number of layers to keep belongs to layer-wise pruning")
