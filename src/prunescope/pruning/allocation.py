"""How much should each layer lose, for the least loss of score in all?

Units that save as much go by ascending score, wherever they are: all of one saving are one part,
of which only a number has to be chosen. A model has few: its GQA groups and its channels.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

from prunescope.architecture import Model
from prunescope.errors import PlanError
from prunescope.pruning.budget import ALL, Budget, need
from prunescope.pruning.knapsack import Item, Part, part_of, solve
from prunescope.pruning.selection import check_finite, lowest_first
from prunescope.pruning.targets import Target


def meet_cheapest(
    budget: Budget,
    targets: Sequence[Target],
    scores: Sequence[Sequence[float]],
    model: Model,
    share: Fraction = ALL,
) -> tuple[Target, ...]:
    """`targets` with the removals that meet `budget` at the least loss of score.

    Args:
        scores: of the units of each target.
        share: of the removal that the budget asks for.

    Raises:
        PlanError: as `need` and `allocate`.
    """
    asked = need(budget, targets, model, share)
    return allocate(targets, scores, asked.savings, asked.excess)


def allocate(
    targets: Sequence[Target],
    scores: Sequence[Sequence[float]],
    savings: Sequence[int],
    wanted: int,
) -> tuple[Target, ...]:
    """`targets` with the removals that lose the least score and save `wanted` at least.

    No other removals lose less, but for the rounding of float64 sums.

    Args:
        scores: of the units of each target.
        savings: by one unit of each target, in whatever the budget counts.

    Raises:
        PlanError: all together save less, or scores are not finite.
    """
    items = _items(targets, scores, savings)
    if sum(item.saving for each in items for item in each) < wanted:
        raise PlanError("what may be removed saves less than the budget asks for")
    removed = [0] * len(targets)
    if wanted > 0:
        parts = _parts(items)
        for part, option in zip(parts, solve(parts, wanted), strict=True):
            for item in part.items[:option]:
                removed[item.target] += item.count
    return tuple(replace(t, remove=n) for t, n in zip(targets, removed, strict=True))


def _items(
    targets: Sequence[Target], scores: Sequence[Sequence[float]], savings: Sequence[int]
) -> list[list[Item]]:
    """Of each target, in the order in which they go: their losses by saving ascend."""
    items: list[list[Item]] = []
    for index, (target, values) in enumerate(zip(targets, scores, strict=True)):
        check_finite(target, values)
        losses = [values[unit] for unit in lowest_first(target, values)]
        steps = pairwise(target.choices) if savings[index] > 0 else ()
        items.append(
            [Item(index, sum(losses[a:b]), savings[index] * (b - a), b - a) for a, b in steps]
        )
    return items


def _parts(items: Sequence[Sequence[Item]]) -> list[Part]:
    """What is chosen independently, the smallest first.

    A target whose first item is smaller than its others (of widths that were no multiple of
    what is left) is a part of its own: the others cannot go without that one.
    """
    alike: dict[int, list[Item]] = defaultdict(list)
    parts = []
    for each in items:
        sizes = Counter(item.saving for item in each)
        if len(sizes) > 1:
            parts.append(part_of(each))
        for size in sizes if len(sizes) == 1 else ():
            alike[size] += each
    # Stable: of equals, the first target's go first.
    parts += [part_of(sorted(each, key=lambda item: item.loss)) for each in alike.values()]
    return sorted(parts, key=lambda part: len(part.counts))
