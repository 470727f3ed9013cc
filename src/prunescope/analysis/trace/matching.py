"""Which original row has the same elements as each pruned one? Unique keys, then order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:
    np = require("numpy", "weights")


@dataclass(frozen=True)
class Match:
    """Where rows came from.

    Attributes:
        kept: for each pruned row, its index in the original; -1 where none was found.
        ambiguous: pruned rows that another row of the original explains as well.
    """

    kept: Array
    ambiguous: Array


def same_keys(original: Array, pruned: Array) -> tuple[Array, Array, Array]:
    """Match keys that are equal.

    Returns:
        kept (-1 where there is none, or more than one), and the indices of the pruned and the
        original rows whose key more than one original row has.
    """
    nothing = np.empty(0, np.intp)
    if not len(original):
        return np.full(len(pruned), -1, np.intp), nothing, nothing
    order = np.argsort(original, kind="stable")
    ranked = original[order]
    is_next = np.concatenate((ranked[1:] == ranked[:-1], [False]))
    if not is_next.any() and np.array_equal(original, pruned):
        return np.arange(len(pruned)), nothing, nothing
    first = np.minimum(np.searchsorted(ranked, pruned), len(ranked) - 1)
    found, tied = ranked[first] == pruned, nothing
    kept = np.where(found, order[first], -1)
    if is_next.any():
        several = found & is_next[first]
        kept[several] = -1
        tied = np.flatnonzero(several)
    rivals = np.flatnonzero(np.isin(original, pruned[tied])) if len(tied) else nothing
    return kept, tied, rivals


def settle_ties(kept: Array, pruned: Array, original: Array, tied: Array, rivals: Array) -> Match:
    """Place rows that equal several original ones, where ascending order leaves a choice.

    Args:
        kept: what is certain, -1 elsewhere.
        pruned, original: keys of the rows `tied` and `rivals`.
        tied: pruned rows to be placed.
        rivals: original rows that they may be.
    """
    ambiguous = np.zeros(len(kept), bool)
    if not len(tied):
        return Match(kept, ambiguous)
    places: dict[int, list[int]] = {}
    for key, row in zip(original.tolist(), rivals.tolist(), strict=True):
        places.setdefault(key, []).append(row)
    options = {
        row: places[key]
        for row, key in zip(tied.tolist(), pruned.tolist(), strict=True)
        if key in places
    }
    lowest = _placed(kept.tolist(), options)
    highest = _placed_from_end(kept.tolist(), options)
    if lowest is None or highest is None:
        return _in_any_order(kept, options)
    ambiguous[:] = np.asarray(lowest) != np.asarray(highest)
    return Match(np.asarray(lowest, np.intp), ambiguous)


def _placed(kept: list[int], options: dict[int, list[int]]) -> list[int] | None:
    """Each row as early as order allows; None where there is no ascending placement."""
    placed, last = list(kept), -1
    for row, index in enumerate(kept):
        if index < 0:
            choice: Sequence[int] = options.get(row, ())
            at = bisect_right(choice, last)
            if row not in options:
                continue
            if at == len(choice):
                return None
            index = choice[at]
        elif index <= last:
            return None
        placed[row] = last = index
    return placed


def _placed_from_end(kept: list[int], options: dict[int, list[int]]) -> list[int] | None:
    """Each row as late as order allows."""
    placed, last = list(kept), 1 << 62
    for row in range(len(kept) - 1, -1, -1):
        index = kept[row]
        if index < 0:
            if row not in options:
                continue
            at = bisect_left(options[row], last)
            if not at:
                return None
            index = options[row][at - 1]
        elif index >= last:
            return None
        placed[row] = last = index
    return placed


def _in_any_order(kept: Array, options: dict[int, list[int]]) -> Match:
    """Rows that were moved: any that is still free will do, and none is certain."""
    found, ambiguous = kept.copy(), np.zeros(len(kept), bool)
    taken = set(kept[kept >= 0].tolist())
    # Rows of equal keys have one list, whose places are taken from the front.
    rest = {id(choice): iter(choice) for choice in options.values()}
    for row, choice in options.items():
        free = next((place for place in rest[id(choice)] if place not in taken), choice[0])
        taken.add(free)
        found[row] = free
        ambiguous[row] = True
    return Match(found, ambiguous)
