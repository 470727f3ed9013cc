"""What was asked for, and can this model give it? Settled before anything heavy is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Literal

from prunescope.analysis.record import Gqa
from prunescope.architecture import Model
from prunescope.errors import PlanError
from prunescope.pruning.budget import Budget, meet
from prunescope.pruning.groups import (
    Group,
    check_prunable,
    group_of,
    hidden_group,
    layers_group,
)

# From here too: a plan's users need both.
from prunescope.pruning.targets import Target as Target

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


# torch's grouped matrix product, by which transformers computes experts, takes rows of whole 16
# bytes: 8 numbers of a 16-bit type.
_EXPERT_MULTIPLE = 8

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


def resolve(plan: PruningPlan, model: Model) -> tuple[Target, ...]:
    """The groups that `plan` cuts in `model`, by layer, attention before MLP.

    The number of units removed is the whole number nearest to `ratio × units`, of two equally
    near the smaller one; the ratio is taken as the decimal that was written. Under a budget each
    loses about the same share; what scores allow, a knapsack or a ranking changes afterwards.

    Raises:
        PlanError: a ratio outside [0, 1), a range that is empty or outside the model, a ratio
            that would leave a layer nothing, a budget that cannot be met, options that exclude
            each other, or a calibration set without a token to predict.
        ArchitectureError: a layer that is not built as its family's are.
    """
    _check(plan)
    check_prunable(model)
    targets: tuple[Target, ...]
    if plan.structure == "layer":
        targets = (_depth(plan, model),)
    elif plan.structure == "channel":
        has_experts = any(place.expert is not None for place in model.places.values())
        hidden = Target(hidden_group(model), 0, _width(plan, has_experts))
        targets = (_cut(hidden, Fraction(repr(plan.ratio))),)
    else:
        targets = tuple(_blocks(plan, model))
    if plan.budget is not None:
        targets = meet(plan.budget, targets, model)
    return _ranked_together(plan, targets)


def _check(plan: PruningPlan) -> None:
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


def _depth(plan: PruningPlan, model: Model) -> Target:
    group = layers_group(model)
    free = plan.depth_by == "influence"
    if plan.layers is None:
        if plan.budget is None:
            raise PlanError("layer-wise pruning needs a number of layers to keep, or a budget")
        return Target(group, 0, free=free)
    if not 1 <= plan.layers <= group.units:
        raise PlanError(f"cannot keep {plan.layers} of the model's {group.units} layers")
    return Target(group, group.units - plan.layers, free=free)


def _blocks(plan: PruningPlan, model: Model) -> Iterator[Target]:
    ratios = _ratios(plan, model)
    for layer in model.layers:
        for kind in model.family.groups:
            # Of the others too: a flaw there would show only when the work is done.
            group = group_of(model, layer, kind, plan.gqa)
            ratio = ratios.get((layer, kind))
            if ratio is not None:
                target = Target(group, 0, _step(plan, group), _least(plan, group), plan.everywhere)
                yield _checked_heads(plan, _cut(target, ratio))


def _ratios(plan: PruningPlan, model: Model) -> dict[tuple[int, str], Fraction]:
    kinds = model.family.groups
    if plan.layer_ratios is not None:
        given = {}
        for layer, ratios in plan.layer_ratios.items():
            for kind, share in ratios.items():
                if layer not in model.layers or kind not in kinds:
                    raise PlanError(f"a ratio for {kind} of layer {layer}, which is not there")
                if not (math.isfinite(share) and 0 <= share < 1):
                    raise PlanError(f"ratio {share} of layer {layer} is not in [0, 1)")
                given[layer, kind] = Fraction(repr(share))
        return given
    bounds = {"attention": plan.attention, "mlp": plan.mlp}
    for kind, each in bounds.items():
        _check_range(kind, each, model)
    ratio = Fraction(repr(plan.ratio))
    return {
        (layer, kind): ratio
        for kind, (start, end) in bounds.items()
        for layer in model.layers
        if start <= layer < end
    }


def _check_range(kind: str, bounds: tuple[int, int], model: Model) -> None:
    start, end = bounds
    depth = len(model.layers)
    if start >= end:
        raise PlanError(f"{kind} layer range {start}..{end} (half open) is empty")
    outside = [n for n in (start, end - 1) if n not in model.layers]
    if outside:
        raise PlanError(
            f"{kind} layer range {start}..{end} (half open) goes past the model's {depth} layers: "
            f"{min(model.layers)}..{max(model.layers)} (set --block_{kind}_layer_start and "
            f"--block_{kind}_layer_end)"
        )


def _step(plan: PruningPlan, group: Group) -> int:
    # Heads stay whole: rounding is for widths that are counted in rows.
    return _width(plan, bool(group.experts)) * group.lanes if group.kind == "mlp" else group.lanes


def _width(plan: PruningPlan, has_experts: bool) -> int:
    return math.lcm(plan.round_to, _EXPERT_MULTIPLE) if has_experts else plan.round_to


def _least(plan: PruningPlan, group: Group) -> int:
    return max(1, math.ceil(Fraction(repr(plan.floor)) * group.units)) if plan.has_floor else 1


def _cut(target: Target, ratio: Fraction) -> Target:
    cut, group = target.nearest(ratio), target.group
    if cut.remove >= group.units:
        where = "" if group.layer is None else f" of layer {group.layer}"
        raise PlanError(
            f"ratio {float(ratio)} would remove all {group.units} {group.kind} units{where}: "
            "take a smaller ratio"
        )
    return cut


def _checked_heads(plan: PruningPlan, target: Target) -> Target:
    if plan.gqa == "naive" and target.group.totals:
        counts = tuple(target.group.totals.values())
        kv_heads, heads = (n - target.remove for n in counts)
        if heads % kv_heads:
            fitting = [n for n in range(1, counts[0]) if not (counts[1] - n) % (counts[0] - n)]
            listed = ", ".join(map(str, fitting)) or "none"
            raise PlanError(
                f"naive GQA pruning leaves layer {target.group.layer} {heads} query heads, which "
                f"cannot share {kv_heads} KV heads: of {counts[1]} and {counts[0]} as many may go "
                f"as leave a multiple ({listed}); take another ratio or --gqa group"
            )
    return target


def _ranked_together(plan: PruningPlan, targets: tuple[Target, ...]) -> tuple[Target, ...]:
    """Refuse what the floors of all layers of a kind do not leave room for."""
    if plan.everywhere:
        for kind in dict.fromkeys(target.group.kind for target in targets):
            same = [t for t in targets if t.group.kind == kind]
            wanted, most = sum(t.remove for t in same), sum(t.choices[-1] for t in same)
            if wanted > most:
                raise PlanError(
                    f"{wanted} {kind} units should go, each layer's floor of {plan.floor} leaves "
                    f"{most}: take a smaller ratio or floor"
                )
    return targets
