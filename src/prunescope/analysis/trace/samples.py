"""What tells a row (or column) from the others? A few of its elements, or all of them.

Finding where a row came from needs little of it; whether it is still the same is checked
afterwards against every byte (`prunescope.analysis.trace.drift`).
"""

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

# Elements compared bit for bit, and as numbers where the bits have changed.
_KEY_ELEMENTS = 8
SKETCH_ELEMENTS = 64
_RUN = 8


def spread(length: int, count: int) -> Array:
    """`count` positions along an axis (all where it is shorter), in short runs."""
    if length <= count:
        return np.arange(length)
    starts = np.linspace(0, length - _RUN, count // _RUN).astype(np.intp)
    chosen = np.zeros(length, bool)
    chosen[starts[:, None] + np.arange(_RUN)] = True
    return np.flatnonzero(chosen)


def keys(matrix: Matrix, axis: int, other: Array | None, length: int) -> Array:
    """A number for each row (axis 0) or column (axis 1): equal where its first elements are.

    Args:
        other: positions along the other axis that both models have; None for all.
        length: how many they are.

    Returns:
        uint64, one for each row or column.
    """
    positions = np.arange(min(length, _KEY_ELEMENTS))
    chosen = positions if other is None else other[positions]
    return mixed(_words(matrix, axis, chosen))


def full_keys(matrix: Matrix, axis: int, units: Array, other: Array | None) -> Array:
    """The same for the rows (columns) `units`, from every element."""
    if axis == 0:
        step = matrix.chunk()
        parts = []
        for start in range(0, len(units), step):
            block = matrix.block(units[start : start + step])
            parts.append(mixed(block if other is None else block[:, other]))
        return np.concatenate(parts) if parts else np.empty(0, np.uint64)
    rows = np.arange(matrix.shape[0]) if other is None else other
    total = np.zeros(len(units), np.uint64)
    factors = _factors(len(rows))
    step = matrix.chunk()
    for start in range(0, len(rows), step):
        block = _widened(matrix.block(rows[start : start + step])[:, units])
        total += np.einsum("i,ij->j", factors[start : start + step], block)
    return total


def sketches(matrix: Matrix, axis: int, other: Array | None, length: int) -> Array:
    """`SKETCH_ELEMENTS` elements of each row (axis 0) or column (axis 1), as float32.

    Returns:
        [rows or columns, at most SKETCH_ELEMENTS]; what is no number is 0.
    """
    positions = spread(length, SKETCH_ELEMENTS)
    chosen = positions if other is None else other[positions]
    if axis == 1:
        found = matrix.floats(chosen).T
    else:
        step = matrix.chunk()
        starts = range(0, matrix.shape[0], step)
        parts = [matrix.floats(slice(s, s + step), chosen) for s in starts]
        found = np.concatenate(parts) if parts else np.empty((0, len(chosen)), np.float32)
    return np.nan_to_num(found, nan=0, posinf=0, neginf=0)


def _words(matrix: Matrix, axis: int, chosen: Array) -> Array:
    if axis == 1:
        return matrix.block(chosen).T
    every = slice(None)
    if matrix.order is None and len(chosen) and (np.diff(chosen) == 1).all():
        return matrix.block(every)[:, chosen[0] : chosen[-1] + 1]
    if matrix.words is not None and matrix.order is not None:
        # Columns first: reordering whole rows would copy them.
        return matrix.words[:, chosen][matrix.order]
    return matrix.block(every)[:, chosen]


def mixed(words: Array) -> Array:
    """A number for each row of unsigned words: multiply and sum, modulo 2^64."""
    total: Array = np.einsum("ij,j->i", _widened(words), _factors(words.shape[1]))
    return total


def _widened(words: Array) -> Array:
    """Words as uint64."""
    if words.itemsize < 8:
        return words.astype(np.uint64)
    # The highest bits of a 64-bit word alone would meet nothing but the factor's lowest.
    folded: Array = words ^ (words >> np.uint64(29))
    return folded


def _factors(count: int) -> Array:
    """The first `count` of one endless row of odd numbers, well mixed.

    Source: splitmix64 (https://prng.di.unimi.it/splitmix64.c). numpy's own generators take as long
    to import as this command takes to read half a gigabyte.
    """
    bits = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ bits >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ bits >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    odd: Array = (bits ^ bits >> np.uint64(31)) | np.uint64(1)
    return odd
