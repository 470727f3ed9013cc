"""Which units stay? Those that score highest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from prunescope.errors import PlanError
from prunescope.pruning.plan import Target


@dataclass(frozen=True, slots=True)
class Cut:
    """One group's units, ascending: which stay, and the scores of all."""

    target: Target
    kept: list[int]
    scores: list[float]

    @property
    def removed(self) -> list[int]:
        """The units that go, ascending."""
        kept = set(self.kept)
        return [unit for unit in range(self.target.group.units) if unit not in kept]


def select(target: Target, scores: Sequence[float]) -> Cut:
    """Remove the `target.remove` lowest of `scores`, one for each unit; of equals, the first go.

    Raises:
        PlanError: a score that is not a number: the weights or gradients hold NaN or infinity.
    """
    group = target.group
    values = list(scores)
    if not all(math.isfinite(value) for value in values):
        raise PlanError(
            f"the {group.kind} scores of layer {group.layer} are not finite: "
            "the weights or their gradients hold NaN or infinity"
        )
    order = sorted(range(group.units), key=lambda unit: (values[unit], unit))
    return Cut(target, sorted(order[target.remove :]), values)
