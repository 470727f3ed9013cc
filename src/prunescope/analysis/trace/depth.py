"""Which layer of the original is each pruned layer? Told by rows that no other layer has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    np = require("numpy", "weights")

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
    length = min(matrix.shape[1] for matrix in pruned.values())
    probes = {number: _probe(matrix, length) for number, matrix in pruned.items()}
    if original.keys() == pruned.keys() and all(
        _likeness([probes[n]], original[n], hidden)[0] >= 1 - _EVEN for n in probes
    ):
        # None can be more alike by more than counts: the usual case, in one look at each.
        return {number: number for number in probes}
    candidates = list(original)
    columns = [_likeness(list(probes.values()), original[n], hidden) for n in candidates]
    matched: dict[int, int | None] = {}
    last = -1
    for row, number in enumerate(probes):
        scores = [column[row] for column in columns]
        best = max(scores)
        even = [c for c, s in zip(candidates, scores, strict=True) if s >= best - _EVEN]
        choice: int | None
        if best < LEAST_COSINE:
            choice = number if original.keys() == pruned.keys() else None
        elif original.keys() == pruned.keys() and number in even:
            choice = number
        else:
            choice = next((c for c in even if c > last), even[0])
        last = last if choice is None else choice
        matched[number] = choice
    return matched


def _likeness(probes: Sequence[Array], matrix: Matrix, hidden: Array | None) -> list[float]:
    """How like its nearest row of `matrix` the rows of each probe are: mean cosines."""
    if not all(len(probe) for probe in probes) or not matrix.shape[0]:
        return [0.0] * len(probes)
    model = sketches(matrix, 0, hidden, matrix.shape[1] if hidden is None else len(hidden))
    rows = standardise(model, model)
    stacked = standardise(np.concatenate(probes), model)
    nearest = (stacked @ rows.T).max(1)
    ends = np.cumsum([len(probe) for probe in probes])
    return [float(part.mean()) for part in np.split(nearest, ends[:-1])]


def _probe(matrix: Matrix, length: int) -> Array:
    """Sketches of a few rows."""
    rows = spread(matrix.shape[0], _ROWS)
    found = matrix.floats(rows, spread(length, SKETCH_ELEMENTS))
    return np.nan_to_num(found, nan=0, posinf=0, neginf=0)
