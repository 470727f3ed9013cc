"""Which units stay? Those that score highest, of their layer or of all layers together."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from prunescope.errors import PlanError
from prunescope.pruning.groups import LAYERS
from prunescope.pruning.plan import PruningPlan
from prunescope.pruning.scores import Scores
from prunescope.pruning.targets import Target


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
    """For each target the scores of its units; random ones are uniform in [0, 1).

    A layer's score is its block influence, or the higher the earlier it comes.

    Raises:
        PlanError: there is not a score for each unit.
    """
    if plan.structure == "layer":
        (target,) = targets
        if plan.depth_by == "first":
            return ([float(-unit) for unit in range(target.group.units)],)
        if scores.influence.keys() != set(range(target.group.units)):
            raise PlanError("there are no scores for each of the layers")
        return ([scores.influence[place] for place in range(target.group.units)],)
    if plan.importance == "random":
        # Not a secret: a choice that anyone can repeat from the seed.
        chance = random.Random(plan.seed)  # noqa: S311
        return tuple([chance.random() for _ in range(t.group.units)] for t in targets)
    return tuple(scores.of(target.group, plan.grouping) for target in targets)


def select_all(
    plan: PruningPlan, targets: Sequence[Target], scores: Sequence[Sequence[float]]
) -> tuple[Cut, ...]:
    """A cut for each target, by the scores of its units.

    Raises:
        PlanError: as `select`.
    """
    if plan.everywhere:
        targets = spread(targets, scores)
    return tuple(select(t, each) for t, each in zip(targets, scores, strict=True))


def select(target: Target, scores: Sequence[float]) -> Cut:
    """Remove the `target.remove` lowest of `scores`, one for each unit; of equals, the first go.

    Raises:
        PlanError: a score that is not a number: the weights or gradients hold NaN or infinity.
    """
    values = list(scores)
    check_finite(target, values)
    return Cut(target, sorted(lowest_first(target, values)[target.remove :]), values)


def spread(targets: Sequence[Target], scores: Sequence[Sequence[float]]) -> tuple[Target, ...]:
    """Share out what all targets of a kind lose together: wherever scores are lowest.

    The mean score of the units that go at a time decides; of equals, the first layer's go. As
    many parameters go as if each target had lost its own share, or the fewest more that can.

    Raises:
        PlanError: as `select`.
    """
    removed = [0] * len(targets)
    for kind in dict.fromkeys(target.group.kind for target in targets):
        same = [index for index, t in enumerate(targets) if t.group.kind == kind]
        wanted = sum(targets[n].remove * targets[n].group.unit_parameters for n in same)
        steps = sorted(
            (score, index, count)
            for index in same
            for count, score in removals(targets[index], scores[index])
        )
        for _, index, count in steps:
            if wanted <= 0:
                break
            wanted -= (count - removed[index]) * targets[index].group.unit_parameters
            removed[index] = count
    return tuple(replace(t, remove=n) for t, n in zip(targets, removed, strict=True))


def removals(target: Target, scores: Sequence[float]) -> Iterator[tuple[int, float]]:
    """Every number of units that may go, and the mean score of those that it adds; both ascend."""
    check_finite(target, scores)
    lowest = [scores[unit] for unit in lowest_first(target, scores)]
    # A lane's next unit scores above its last, but not above the last of every lane.
    highest = -math.inf
    for before, count in pairwise(target.choices):
        highest = max(highest, sum(lowest[before:count]) / (count - before))
        yield count, highest


def lowest_first(target: Target, scores: Sequence[float]) -> list[int]:
    """Units by ascending score, one of each lane at a time; of equals, the first first."""
    lanes, units = target.group.lanes, target.group.units
    length = units // lanes
    orders = [
        sorted(range(n * length, (n + 1) * length), key=lambda unit: (scores[unit], unit))
        for n in range(lanes)
    ]
    return [order[rank] for rank in range(length) for order in orders]


def check_finite(target: Target, scores: Sequence[float]) -> None:
    """Raise PlanError for scores of NaN or infinity."""
    group = target.group
    if not all(math.isfinite(score) for score in scores):
        where = "" if group.layer is None else f" of layer {group.layer}"
        what = "layer" if group.kind == LAYERS else group.kind
        raise PlanError(
            f"the {what} scores{where} are not finite: "
            "the weights or their gradients hold NaN or infinity"
        )
