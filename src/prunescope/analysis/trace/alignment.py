"""Which original row is most like each pruned one, now that training or rounding changed it?

Rows are compared by the angle between sketches. A best match clearly nearer than the second
(D. Lowe's ratio test, https://www.cs.ubc.ca/~lowe/papers/ijcv04.pdf, section 7.1) is certain; the
others lie between certain ones, because pruning keeps order, and the best ascending placement of
them is found by dynamic programming, as sequences are aligned (Needleman and Wunsch, 1970).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prunescope.analysis.trace.matching import Match
from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:
    np = require("numpy", "weights")

# Of 64 elements, unrelated rows have a cosine of 0 ± 1/8: the best of 100,000 stays below it.
LEAST_COSINE = 0.6
# What needs no look at the others: rounding to 4 bits leaves 0.99.
_CLEARLY = 0.9
# Squared distance to the best over that to the second: 0.8².
_RATIO = 0.64
# What float32 may make of equal cosines: rows that differ by less are twins.
_ROUNDING = 1e-5
_BLOCK = 512
# Of a gap between certain rows: three tables of so many numbers are held.
_MAX_CELLS = 1 << 22


def standardise(sketch: Array, model: Array) -> Array:
    """Sketches in units of `model`'s size, each of length 1: no element outweighs the rest.

    Args:
        sketch, model: float32 [rows, elements].
    """
    if not len(model):
        return sketch
    size = np.sqrt(np.square(model).mean(0))
    # Elements that are small everywhere would be mostly noise if they were enlarged.
    size = np.maximum(size, _median(size))
    scaled = sketch / np.where(size > 0, size, 1)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    unit: Array = (scaled / np.where(length > 0, length, 1)).astype(np.float32)
    return unit


def _median(values: Array) -> Any:
    """numpy's own imports masked arrays first, a tenth of what a small model takes in all."""
    return np.sort(values)[(len(values) - 1) // 2 : len(values) // 2 + 1].mean()


def follows(original: Array, pruned: Array, kept: Array) -> bool:
    """Whether each pruned row is clearly like the original row that `kept` says it is.

    Args:
        original, pruned: float32 [rows, elements].
        kept: original indices, one for each pruned row.
    """
    before = standardise(original, original)[kept]
    after = standardise(pruned, original)
    # Rows of zeros have no direction, and are like each other.
    empty = ~before.any(1) & ~after.any(1)
    return bool((empty | (np.einsum("ij,ij->i", before, after) >= _CLEARLY)).all())


def align(original: Array, pruned: Array) -> Match:
    """Match rows by their sketches.

    Args:
        original, pruned: float32 [rows, elements], elements in the same order.
    """
    before, after = standardise(original, original), standardise(pruned, original)
    kept = np.full(len(after), -1, np.intp)
    certain = np.zeros(len(after), bool)
    for start in range(0, len(after), _BLOCK):
        likeness = after[start : start + _BLOCK] @ before.T
        best = likeness.argmax(1)
        rows = np.arange(len(best))
        first = likeness[rows, best].copy()
        likeness[rows, best] = -1
        second = likeness.max(1)
        kept[start : start + _BLOCK] = np.where(first >= LEAST_COSINE, best, -1)
        clear = 1 - first + _ROUNDING <= _RATIO * (1 - second)
        certain[start : start + _BLOCK] = clear & (first >= LEAST_COSINE)
    anchors = np.flatnonzero(certain)
    if (np.diff(kept[anchors]) <= 0).any():
        # Rows were moved: order tells nothing about the others.
        return Match(kept, ~certain & (kept >= 0))
    ambiguous = np.zeros(len(after), bool)
    stops = np.concatenate(([-1], anchors, [len(after)]))
    limits = np.concatenate(([-1], kept[anchors], [len(before)]))
    for gap in np.flatnonzero(np.diff(stops) > 1):
        rows = np.arange(stops[gap] + 1, stops[gap + 1])
        places = np.arange(limits[gap] + 1, limits[gap + 1])
        placed, doubtful = _between(after[rows], before[places])
        kept[rows] = np.where(placed < 0, -1, placed + limits[gap] + 1)
        ambiguous[rows] = doubtful
    return Match(kept, ambiguous)


def _between(after: Array, before: Array) -> tuple[Array, Array]:
    """The ascending placement of `after` among `before` with the largest sum of cosines.

    Returns:
        The place of each row, -1 for one that is unlike the row there; and whether a placement
        that puts the row elsewhere is about as good.
    """
    count, width = len(after), len(before)
    placed, doubtful = np.full(count, -1, np.intp), np.zeros(count, bool)
    if not 0 < count <= width or count * width > _MAX_CELLS:
        return placed, doubtful
    likeness = after @ before.T
    ahead = _best_sums(likeness)
    # What the rows behind add, from the other end.
    behind = _best_sums(likeness[::-1, ::-1])[::-1, ::-1]
    through = ahead + behind - likeness
    limit = width
    for row in range(count - 1, -1, -1):
        # Of places equally good, the first: the row before has to fit in front of it.
        place = int(ahead[row, :limit].argmax())
        limit = place
        others = np.delete(through[row], place)
        if len(others):
            rival = int(others.argmax())
            lost = through[row, place] - others[rival]
            distance = 1 - likeness[row, rival + (rival >= place)]
            doubtful[row] = lost < (1 - _RATIO) * distance
        if likeness[row, place] >= LEAST_COSINE:
            placed[row] = place
    return placed, doubtful & (placed >= 0)


def _best_sums(likeness: Array) -> Array:
    """[row, place] → the largest sum of an ascending placement that ends with row at place."""
    sums = np.empty_like(likeness)
    best = np.zeros(likeness.shape[1], likeness.dtype)
    for row, scores in enumerate(likeness):
        sums[row] = best + scores
        # Each row takes a place: behind the first rows' there is none.
        best = np.concatenate(([-np.inf], np.maximum.accumulate(sums[row])[:-1]))
    return sums
