"""Which rows or columns are nothing but zeros that were added, to make layers alike?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prunescope.analysis.trace.matrices import Matrix
from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:
    np = require("numpy", "weights")


def empty(matrix: Matrix, axis: int, kept: Array) -> Array:
    """Which rows (axis 0) or columns (axis 1) came from nowhere and hold nothing but zeros.

    Args:
        kept: of each its original index, negative where it has none.

    Returns:
        bool, one for each.
    """
    missing = np.flatnonzero(kept < 0)
    found = np.zeros(len(kept), bool)
    if not len(missing):
        return found
    filled = np.zeros(len(missing), bool)
    step = matrix.chunk()
    for start in range(0, len(missing) if axis == 0 else matrix.shape[0], step):
        if axis == 0:
            block = matrix.floats(missing[start : start + step])
            filled[start : start + step] = (block != 0).any(1)
        else:
            block = matrix.floats(slice(start, min(start + step, matrix.shape[0])), missing)
            filled |= (block != 0).any(0)
    found[missing] = ~filled
    return found


def without(matrix: Matrix, axis: int, kept: Array, zeros: Array) -> tuple[Matrix, Array] | None:
    """The matrix and `kept` but for what `zeros` marks; None where nothing else is there."""
    rest = np.flatnonzero(~zeros)
    return (matrix.only(axis, rest, matrix.part), kept[rest]) if len(rest) else None
