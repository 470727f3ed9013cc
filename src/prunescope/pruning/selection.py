"""Which units stay? Those that score highest."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from prunescope.errors import PlanError
from prunescope.pruning.plan import PruningPlan, Target
from prunescope.pruning.scores import Scores


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


def unit_scores(
    plan: PruningPlan, targets: Sequence[Target], scores: Scores
) -> tuple[list[float], ...]:
    """For each target the scores of its units; random ones are uniform in [0, 1)."""
    if plan.importance == "random":
        # Not a secret: a choice that anyone can repeat from the seed.
        chance = random.Random(plan.seed)  # noqa: S311
        return tuple([chance.random() for _ in range(t.group.units)] for t in targets)
    return tuple(scores.of(target.group, plan.grouping) for target in targets)


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
