"""How many items of each part save enough and lose least? A knapsack, solved exactly.

Parts are combined by dynamic programming over what nothing else beats, within the bound of the
Lagrangian relaxation (Martello and Toth, Knapsack Problems, 1990, §2.2 and §2.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _Array = NDArray[Any]
else:
    np = require("numpy", "prune")

# Of the sums that are compared: what their rounding may amount to, and more.
_ROUNDING = 1e-10
# Combinations that are held before those that others beat are dropped.
_HELD = 1 << 22


@dataclass(frozen=True, slots=True)
class Item:
    """What goes as a whole: the next number of units that may go of one target.

    Attributes:
        target: which one; it and `count` are for whoever takes the units away.
        loss: the scores of the units that go with it.
        saving: more than 0, in whatever the budget counts.
        count: units.
    """

    target: int
    loss: float
    saving: int
    count: int


@dataclass(frozen=True)
class Part:
    """Items that go in this order, whatever goes of other parts.

    Attributes:
        counts: [options] how many of them go.
        savings, losses: [options] of these together, int64 and float64; both ascend.
    """

    items: Sequence[Item]
    counts: _Array
    savings: _Array
    losses: _Array

    def only(self, which: _Array) -> Part:
        """The same with the options `which`."""
        counts, savings, losses = (each[which] for each in (self.counts, self.savings, self.losses))
        return Part(self.items, counts, savings, losses)


def part_of(items: Sequence[Item]) -> Part:
    """The part that `items` make, without the options that another one beats.

    Args:
        items: in the order in which they go; their losses by saving ascend.
    """
    savings = np.cumsum([0, *(item.saving for item in items)], dtype=np.int64)
    losses = np.cumsum([0.0, *(item.loss for item in items)])
    part = Part(items, np.arange(len(savings)), savings, losses)
    # What saves more and loses less is better: scores may be negative.
    return part.only(np.flatnonzero(losses == np.minimum.accumulate(losses[::-1])[::-1]))


def solve(parts: Sequence[Part], wanted: int) -> list[int]:
    """How many items of each part go, so that they save `wanted` at least and lose least.

    Args:
        parts: all their items together save `wanted` or more.
        wanted: more than 0.
    """
    rate = _rate(parts, wanted)
    # What an option costs beyond what it saves is worth at that rate, and beyond the cheapest.
    prices = [part.losses - rate * part.savings for part in parts]
    bound = rate * wanted + sum(float(price.min()) for price in prices)
    scale = rate * wanted + sum(float(np.abs(part.losses).max()) for part in parts)
    room = _within_reach(parts, prices, wanted) - bound + _ROUNDING * scale
    left = [
        (part.only(near), price[near] - price.min())
        for part, price in zip(parts, prices, strict=True)
        for near in (np.flatnonzero(price - price.min() <= room),)
    ]
    order = sorted(range(len(left)), key=lambda n: len(left[n][0].counts))
    *others, last = order
    saved, lost, prices_so_far = np.zeros(1, np.int64), np.zeros(1), np.zeros(1)
    trail: list[tuple[_Array, _Array]] = []
    for number in others:
        held = saved, lost, prices_so_far
        (saved, lost, prices_so_far), come_from = _combined(held, *left[number], wanted, room)
        trail.append(come_from)
    option, total = _least(left[last][0], wanted - saved)
    at = int(np.lexsort((saved, total + lost))[0])
    chosen = {last: int(left[last][0].counts[option[at]])}
    for number, (before, taken) in zip(reversed(others), reversed(trail), strict=True):
        chosen[number] = int(left[number][0].counts[taken[at]])
        at = int(before[at])
    return [chosen[number] for number in range(len(parts))]


def _rate(parts: Sequence[Part], wanted: int) -> float:
    """What one more saved costs, where items could go in pieces."""
    ratios = sorted((item.loss / item.saving, item.saving) for p in parts for item in p.items)
    rate = 0.0
    for ratio, saving in ratios:
        if wanted <= 0:
            break
        rate = max(0.0, ratio)
        wanted -= saving
    return rate


def _within_reach(parts: Sequence[Part], prices: Sequence[_Array], wanted: int) -> float:
    """The least loss of some ways to save `wanted`: all parts cheapest but one, which fills up."""
    found = [sum(float(part.losses[-1]) for part in parts)]
    for options in (
        [int(np.argmin(price)) for price in prices],
        [len(price) - 1 - int(np.argmin(price[::-1])) for price in prices],
    ):
        saved = sum(int(p.savings[n]) for p, n in zip(parts, options, strict=True))
        lost = sum(float(p.losses[n]) for p, n in zip(parts, options, strict=True))
        for part, n in zip(parts, options, strict=True):
            rest = np.array([wanted - (saved - int(part.savings[n]))])
            found.append(lost - float(part.losses[n]) + float(_least(part, rest)[1][0]))
    return min(found)


def _least(part: Part, rests: _Array) -> tuple[_Array, _Array]:
    """For each of `rests`, the option that saves it at the least loss; that loss, or infinity."""
    first = np.searchsorted(part.savings, rests)
    option = np.minimum(first, len(part.savings) - 1)
    return option, np.where(first == option, part.losses[option], np.inf)


_States = tuple["_Array", "_Array", "_Array"]


def _combined(
    held: _States, part: Part, prices: _Array, wanted: int, room: float
) -> tuple[_States, tuple[_Array, _Array]]:
    """Every combination of `held` with an option that no other beats, and where it comes from.

    Args:
        held: savings, losses, and prices beyond the cheapest.
    """
    saved, lost, paid = held
    best: list[tuple[_Array, ...]] = []
    for option in range(len(part.counts)):
        near = np.flatnonzero(paid + prices[option] <= room)
        best.append(
            (
                np.minimum(saved[near] + part.savings[option], wanted),
                lost[near] + part.losses[option],
                paid[near] + prices[option],
                near,
                np.full(len(near), option),
            )
        )
        if option == len(part.counts) - 1 or sum(len(each[0]) for each in best) > _HELD:
            best = [_unbeaten(tuple(np.concatenate(each) for each in zip(*best, strict=True)))]
    ((saved, lost, paid, before, taken),) = best
    return (saved, lost, paid), (before, taken)


def _unbeaten(states: tuple[_Array, ...]) -> tuple[_Array, ...]:
    """Those of which no other saves as much and loses no more."""
    order = np.lexsort((states[1], -states[0]))
    losses = states[1][order]
    least = np.minimum.accumulate(losses)
    first = np.concatenate([[True], losses[1:] < least[:-1]])
    return tuple(each[order[first]] for each in states)
