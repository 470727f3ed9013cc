"""Which layer of the original is each pruned layer? Told by rows that no other layer has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prunescope.analysis.trace.alignment import LEAST_COSINE, standardise
from prunescope.analysis.trace.matrices import Matrix
from prunescope.analysis.trace.samples import SKETCH_ELEMENTS, sketches, spread
from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:
    np = require("numpy", "trace")

_ROWS = 16
# Cosines nearer than this are of layers that are alike.
_EVEN = 1e-3


def match_layers(
    original: Mapping[int, Matrix], pruned: Mapping[int, Matrix], hidden: Array | None
) -> dict[int, int | None]:
    """Pruned layer → original layer; None for one that is like no other.

    Args:
        original, pruned: layer number → one projection's matrix, [rows, hidden]; the same
            projection on both sides.
        hidden: kept columns, original indices; None for all.
    """
    numbers, candidates = list(pruned), list(original)
    length = min(matrix.shape[1] for matrix in pruned.values())
    probes = [_probe(matrix, length) for matrix in pruned.values()]
    likeness = np.zeros((len(numbers), len(candidates)), np.float32)
    for column, matrix in enumerate(original.values()):
        model = sketches(matrix, 0, hidden, length)
        rows = standardise(model, model)
        for row, probe in enumerate(probes):
            if len(probe) and len(rows):
                nearest = (standardise(probe, model) @ rows.T).max(1)
                likeness[row, column] = nearest.mean()
    same_depth = numbers == candidates
    matched: dict[int, int | None] = {}
    last = -1
    for row, number in enumerate(numbers):
        best = likeness[row].max()
        even = [c for c, s in zip(candidates, likeness[row], strict=True) if s >= best - _EVEN]
        choice: int | None
        if best < LEAST_COSINE:
            choice = number if same_depth else None
        elif same_depth and number in even:
            choice = number
        else:
            choice = next((c for c in even if c > last), even[0])
        last = last if choice is None else choice
        matched[number] = choice
    return matched


def _probe(matrix: Matrix, length: int) -> Array:
    """Sketches of a few rows."""
    rows = spread(matrix.shape[0], _ROWS)
    found = matrix.floats(rows)[:, spread(length, SKETCH_ELEMENTS)]
    return np.nan_to_num(found, nan=0, posinf=0, neginf=0)
