"""Can this model give what was asked for? Settled before anything heavy is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

from prunescope.architecture import Model
from prunescope.errors import PlanError
from prunescope.pruning.budget import meet
from prunescope.pruning.groups import (
    Group,
    check_prunable,
    group_of,
    hidden_group,
    layers_group,
)
from prunescope.pruning.plan import PruningPlan, check_plan
from prunescope.pruning.targets import Target

# torch's grouped matrix product, by which transformers computes experts, takes rows of whole 16
# bytes: 8 numbers of a 16-bit type.
_EXPERT_MULTIPLE = 8


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
    check_plan(plan)
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
    where = f"{kind} layer range {start}..{end} (half open)"
    options = f"(set --block_{kind}_layer_start and --block_{kind}_layer_end)"
    if start >= end:
        raise PlanError(f"{where} is empty {options}")
    outside = [n for n in (start, end - 1) if n not in model.layers]
    if outside:
        raise PlanError(
            f"{where} goes past the model's {depth} layers: "
            f"{min(model.layers)}..{max(model.layers)} {options}"
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
