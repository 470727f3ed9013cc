"""What was asked for, and can this model give it? Settled before anything heavy is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Literal

from prunescope.architecture import Model
from prunescope.errors import PlanError
from prunescope.pruning.groups import Group, group_of

Importance = Literal["random", "l1", "l2", "taylor", "wanda", "flap"]
TaylorForm = Literal["param_first", "vectorize", "param_second", "param_mix"]
# Those that are measured on calibration windows.
CALIBRATED = ("taylor", "wanda", "flap")
Grouping = Literal["sum", "mean", "max", "prod", "first"]


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

    @property
    def is_calibrated(self) -> bool:
        """Whether importance is measured on calibration windows."""
        return self.importance in CALIBRATED

    def as_dict(self) -> dict[str, Any]:
        """The plan as `pruning.json` holds it; what the method does not use is left out."""
        plan = asdict(self)
        if self.importance != "taylor":
            del plan["taylor"]
        if not self.is_calibrated:
            del plan["examples"], plan["example_length"]
        if self.importance == "random":
            del plan["grouping"]
        return plan


@dataclass(frozen=True, slots=True)
class Target:
    """One group to cut, and how many of its units go."""

    group: Group
    remove: int


def resolve(plan: PruningPlan, model: Model) -> tuple[Target, ...]:
    """The groups that `plan` cuts in `model`, by layer, attention before MLP.

    The number of units removed is the whole number nearest to `ratio × units`, of two equally
    near the smaller one; the ratio is taken as the decimal that was written.

    Raises:
        PlanError: a ratio outside [0, 1), a range that is empty or outside the model, a ratio
            that would leave a layer nothing, or a calibration set without a token to predict.
        ArchitectureError: a layer that is not built as its family's are.
    """
    if not (math.isfinite(plan.ratio) and 0 <= plan.ratio < 1):
        raise PlanError(f"pruning ratio {plan.ratio} is not in [0, 1)")
    if plan.is_calibrated and (plan.examples < 1 or plan.example_length < 2):
        name = plan.importance.capitalize()
        raise PlanError(f"{name} importance needs at least 1 example of at least 2 tokens")
    ranges = {"attention": plan.attention, "mlp": plan.mlp}
    for kind, bounds in ranges.items():
        _check_range(kind, bounds, model)
    return tuple(_targets(Fraction(repr(plan.ratio)), ranges, model))


def _check_range(kind: str, bounds: tuple[int, int], model: Model) -> None:
    start, end = bounds
    depth = len(model.layers)
    if start >= end:
        raise PlanError(f"{kind} layer range {start}..{end} (half open) is empty")
    outside = [n for n in (start, end - 1) if n not in model.layers]
    if outside:
        raise PlanError(
            f"{kind} layer range {start}..{end} (half open) goes past the model's {depth} layers: "
            f"{min(model.layers)}..{max(model.layers)}"
        )


def _targets(ratio: Fraction, ranges: dict[str, tuple[int, int]], model: Model) -> Iterator[Target]:
    for layer in model.layers:
        for kind, (start, end) in ranges.items():
            # Of the others too: a flaw there would show only when the work is done.
            group = group_of(model, layer, kind)
            if not start <= layer < end:
                continue
            remove = math.ceil(ratio * group.units - Fraction(1, 2))
            if remove >= group.units:
                raise PlanError(
                    f"ratio {float(ratio)} would remove all {group.units} {kind} units of layer "
                    f"{layer}: take a smaller ratio"
                )
            yield Target(group, remove)
