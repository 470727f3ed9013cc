"""How much should each layer lose? What costs least by the scores, solved as a knapsack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from prunescope.errors import PlanError
from prunescope.extras import require
from prunescope.pruning.selection import check_finite, lowest_first
from prunescope.pruning.targets import Target

if TYPE_CHECKING:
    import numpy as np
    from scipy import optimize, sparse
else:
    np = require("numpy", "search")
    optimize = require("scipy.optimize", "search")
    sparse = require("scipy.sparse", "search")

# How far from the best a solution may be, as a share of its loss. Proving the last of it takes
# minutes where thousands of scores hardly differ.
_GAP = 1e-6
_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class _Item:
    """The next number of units that may go of one target.

    Attributes:
        loss: the scores of the units that go with it.
        saving: in whatever the budget counts.
        count: units.
        after: the item of the same target that has to go before; None for the first.
    """

    target: int
    loss: float
    saving: int
    count: int
    after: int | None


def allocate(
    targets: Sequence[Target],
    scores: Sequence[Sequence[float]],
    savings: Sequence[int],
    wanted: int,
) -> tuple[Target, ...]:
    """`targets` with the removals that lose the least score and save `wanted` at least.

    Of all items, only those that the bound of the relaxed problem leaves open are unknowns
    (Martello and Toth, Knapsack Problems, 1990, §2.2.3). HiGHS (https://highs.dev) settles them to
    a millionth of the loss; where it cannot in 20 seconds, the best it has found by then.

    Args:
        scores: of the units of each target.
        savings: by one unit of each target, in whatever the budget counts.

    Raises:
        PlanError: all together save less, or scores are not finite.
    """
    items = _items(targets, scores, savings)
    if sum(item.saving for item in items) < wanted:
        raise PlanError("what may be removed saves less than the budget asks for")
    removed = [0] * len(targets)
    for item in _chosen(items, wanted) if wanted > 0 else ():
        removed[item.target] += item.count
    return tuple(replace(t, remove=n) for t, n in zip(targets, removed, strict=True))


def _items(
    targets: Sequence[Target], scores: Sequence[Sequence[float]], savings: Sequence[int]
) -> list[_Item]:
    items: list[_Item] = []
    for index, (target, values) in enumerate(zip(targets, scores, strict=True)):
        check_finite(target, values)
        losses = [values[unit] for unit in lowest_first(target, values)]
        before = None
        for a, b in pairwise(target.choices) if savings[index] > 0 else ():
            items.append(_Item(index, sum(losses[a:b]), savings[index] * (b - a), b - a, before))
            before = len(items) - 1
    return items


def _chosen(items: list[_Item], wanted: int) -> list[_Item]:
    # Within a target the loss by what is saved grows: this order takes its items one by one.
    order = sorted(range(len(items)), key=lambda n: (items[n].loss / items[n].saving, n))
    taken, saved = 0, 0
    while saved + items[order[taken]].saving < wanted:
        saved += items[order[taken]].saving
        taken += 1
    rate = items[order[taken]].loss / items[order[taken]].saving
    bound = sum(items[n].loss for n in order[:taken]) + rate * (wanted - saved)
    whole = sum(items[n].loss for n in order[:taken]) + _filled(items, order, taken, wanted - saved)
    # What differs from the relaxed solution by more than the two do is in no better one.
    gap = (whole - bound) + 1e-9 * (1 + abs(whole))
    prices = [item.loss - rate * item.saving for item in items]
    sure = [n for n, price in enumerate(prices) if price < -gap]
    open_ = [n for n, price in enumerate(prices) if abs(price) <= gap]
    rest = wanted - sum(items[n].saving for n in sure)
    return [items[n] for n in (*sure, *_solved(items, open_, rest))]


def _filled(items: list[_Item], order: list[int], taken: int, rest: int) -> float:
    """The least loss of one way to save `rest` more: by the next items, all of one size."""
    gone = set(order[:taken])
    sizes: dict[int, list[float]] = {}
    for n in order[taken:]:
        after = items[n].after
        # An item whose forerunner is of another size and still there cannot go alone.
        same = after is not None and items[after].saving == items[n].saving
        if after is None or after in gone or same:
            sizes.setdefault(items[n].saving, []).append(items[n].loss)
    ways = [
        sum(losses[: -(-rest // size)])
        for size, losses in sizes.items()
        if len(losses) * size >= rest
    ]
    everything = sum(items[n].loss for n in order[taken:])
    return min([everything, *ways])


def _ordered(items: list[_Item], open_: list[int]) -> list[tuple[int, int]]:
    """Columns of which the second is taken only with the first.

    Of items that save as much the cheaper go first, which spares the solver all other orders.
    """
    pairs = []
    last: dict[int, int] = {}
    place = {n: column for column, n in enumerate(open_)}
    for n in sorted(open_, key=lambda n: (items[n].loss, n)):
        before = last.get(items[n].saving)
        if before is not None:
            pairs.append((place[before], place[n]))
        last[items[n].saving] = n
        after = items[n].after
        if after in place and after is not None and items[after].saving != items[n].saving:
            pairs.append((place[after], place[n]))
    return pairs


def _solved(items: list[_Item], open_: list[int], rest: int) -> list[int]:
    if rest <= 0 or not open_:
        return []
    gains = np.array([items[n].saving for n in open_], float)
    costs = np.array([items[n].loss for n in open_], float)
    # Of one size, so that the solver's tolerances mean the same for every model.
    rows = [optimize.LinearConstraint((gains / gains.max())[None], lb=rest / gains.max())]
    pairs = _ordered(items, open_)
    if pairs:
        first, then = (np.array(side) for side in zip(*pairs, strict=True))
        count = np.arange(len(pairs))
        ones = np.concatenate([np.ones(len(pairs)), -np.ones(len(pairs))])
        shape = (len(pairs), len(open_))
        before = sparse.csr_array(
            (ones, (np.concatenate([count, count]), np.concatenate([first, then]))), shape
        )
        rows.append(optimize.LinearConstraint(before, lb=0))
    found = optimize.milp(
        costs / (np.abs(costs).max() or 1.0),
        integrality=np.ones(len(open_)),
        bounds=optimize.Bounds(0, 1),
        constraints=rows,
        options={"mip_rel_gap": _GAP, "time_limit": _SECONDS},
    )
    if found.x is None:
        raise PlanError(f"the solver found no allocation ({found.message})")
    return [n for n, is_taken in zip(open_, found.x, strict=True) if round(is_taken)]
