"""How much should each layer lose? What costs least by the scores, solved exactly as a knapsack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from prunescope.errors import PlanError
from prunescope.extras import require
from prunescope.pruning.selection import check_finite, lowest_first
from prunescope.pruning.targets import Target

if TYPE_CHECKING:
    import numpy as np
    from scipy import optimize
else:
    np = require("numpy", "search")
    optimize = require("scipy.optimize", "search")


def allocate(
    targets: Sequence[Target],
    scores: Sequence[Sequence[float]],
    savings: Sequence[int],
    wanted: int,
) -> tuple[Target, ...]:
    """`targets` with the removals that lose the least score and save `wanted` at least.

    Each next number of units that may go is an item: its saving, and the scores of the units that
    go with it. Those of a target grow as it shrinks, so that a solution takes them in order, and
    one with a number of binary unknowns is exact (HiGHS, https://highs.dev, no gap allowed).

    Args:
        scores: of the units of each target.
        savings: by one unit of each target, in whatever the budget counts.

    Raises:
        PlanError: all together save less, or scores are not finite.
    """
    items: list[tuple[int, float, int]] = []
    for index, (target, values) in enumerate(zip(targets, scores, strict=True)):
        check_finite(target, values)
        losses = [values[unit] for unit in lowest_first(target, values)]
        items += [(index, sum(losses[a:b]), b - a) for a, b in pairwise(target.choices)]
    gains = np.array([savings[index] * count for index, _, count in items], float)
    costs = np.array([loss for _, loss, _ in items], float)
    if gains.sum() < wanted:
        raise PlanError("what may be removed saves less than the budget asks for")
    removed = [0] * len(targets)
    if wanted > 0:
        # Of one size, so that the solver's tolerances mean the same for every model.
        unit = gains.max()
        scale = np.abs(costs).max() or 1.0
        found = optimize.milp(
            costs / scale,
            integrality=np.ones(len(items)),
            bounds=optimize.Bounds(0, 1),
            constraints=optimize.LinearConstraint((gains / unit)[None], lb=wanted / unit),
            options={"mip_rel_gap": 0.0},
        )
        if found.x is None:
            raise PlanError(f"the solver found no allocation ({found.message})")
        for (index, _, count), taken in zip(items, found.x, strict=True):
            removed[index] += count * round(taken)
    return tuple(replace(t, remove=n) for t, n in zip(targets, removed, strict=True))
