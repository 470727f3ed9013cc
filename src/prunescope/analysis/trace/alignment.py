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
    np = require("numpy", "trace")

# Of 64 elements, unrelated rows have a cosine of 0 ± 1/8: the best of 100,000 stays below it.
LEAST_COSINE = 0.6
# Squared distance to the best over that to the second: 0.8².
_RATIO = 0.64
_BLOCK = 512
_MAX_CELLS = 1 << 24


def standardise(sketch: Array, model: Array) -> Array:
    """Sketches in units of `model`'s spread, each of length 1: no element outweighs the rest.

    Args:
        sketch, model: float32 [rows, elements].
    """
    if not len(model):
        return sketch
    centre, spread = model.mean(0), model.std(0)
    scaled = (sketch - centre) / np.where(spread > 0, spread, 1)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    unit: Array = (scaled / np.where(length > 0, length, 1)).astype(np.float32)
    return unit


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
        clear = 1 - first <= _RATIO * (1 - second)
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
        kept[rows] = _between(after[rows], before[places], limits[gap] + 1)
        if len(rows) < len(places):
            ambiguous[rows] = kept[rows] >= 0
    return Match(kept, ambiguous)


def _between(after: Array, before: Array, offset: int) -> Array:
    """The ascending placement of `after` among `before` with the largest sum of cosines."""
    nowhere = np.full(len(after), -1, np.intp)
    if not 0 < len(after) <= len(before) or len(after) * len(before) > _MAX_CELLS:
        return nowhere
    likeness = after @ before.T
    width = len(before)
    # best[j]: rows so far, the last of them at j or before; came[i, j]: whether row i is at j.
    best = np.zeros(width + 1, np.float32)
    came = np.zeros(likeness.shape, bool)
    for row, scores in enumerate(likeness):
        here = best[:-1] + scores
        here[:row] = -np.inf
        # Each row takes a place: what is best so far starts from none.
        best = np.concatenate(([-np.inf], np.maximum.accumulate(here))).astype(np.float32)
        came[row] = here >= best[1:]
    place = width - 1
    for row in range(len(after) - 1, -1, -1):
        while not came[row, place]:
            place -= 1
        if likeness[row, place] >= LEAST_COSINE:
            nowhere[row] = offset + place
        place -= 1
    return nowhere
