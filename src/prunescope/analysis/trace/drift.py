"""How far is what is left from what it was? Every byte is compared, and changes are measured."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, sqrt
from typing import TYPE_CHECKING, Any

from prunescope.analysis.trace.matrices import Matrix, in_wide_words
from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:
    np = require("numpy", "weights")


@dataclass(frozen=True, slots=True)
class Drift:
    """A pruned tensor beside the part of the original that it is.

    Attributes:
        identical: whether every bit is the same.
        relative: ‖pruned − original‖ / ‖original‖, Frobenius.
        finite: whether the pruned tensor is free of NaN and infinity, or has the original's bits.
    """

    identical: bool
    relative: float
    finite: bool = True


def measure(original: Matrix, pruned: Matrix, rows: Array | None, columns: Array | None) -> Drift:
    """Compare `pruned` with the `rows` and `columns` of `original`.

    Args:
        rows, columns: original indices in the pruned order, -1 for what has none (it is left
            out); None for an axis that is whole.
    """
    if is_identical(original, pruned, rows, columns):
        return Drift(True, 0.0)
    return _changed(original, pruned, rows, columns)


def is_identical(
    original: Matrix, pruned: Matrix, rows: Array | None, columns: Array | None
) -> bool:
    """Whether `pruned` has the very bits of those rows and columns, all of which were found."""
    rows = _simplified(rows, original.shape[0], pruned.shape[0])
    columns = _simplified(columns, original.shape[1], pruned.shape[1])
    found = all(kept is None or (kept >= 0).all() for kept in (rows, columns))
    return found and _identical(original, pruned, rows, columns)


def _simplified(kept: Array | None, before: int, after: int) -> Array | None:
    """None for an axis of which nothing is cut or moved."""
    if kept is None or (before == after and (kept == np.arange(after)).all()):
        return None
    return kept


def _identical(original: Matrix, pruned: Matrix, rows: Array | None, columns: Array | None) -> bool:
    if pruned.words is None or original.words is None or original.dtype != pruned.dtype:
        return False
    wide_pruned, wide_original = in_wide_words(pruned), in_wide_words(original)
    lanes = _lanes(columns, 8 // pruned.words.itemsize)
    if wide_pruned is not None:
        pruned = wide_pruned
        if wide_original is not None and lanes is not None:
            original, columns = wide_original, None if columns is None else lanes
    if original.words is None or pruned.words is None:
        return False
    step = pruned.chunk()
    kind = original.words.dtype
    # Filled again and again: memory fresh from the system would cost more than the copy.
    held = None if rows is None else np.empty((step, original.shape[1]), kind)
    gathered = None if columns is None else np.empty((step, len(columns)), kind)
    for start in range(0, pruned.shape[0], step):
        ours = pruned.block(slice(start, start + step))
        theirs = original.block(_run(rows, start, start + len(ours)), held)
        if columns is not None and gathered is not None:
            # Every index is known to be in range: "clip" saves numpy a check for each.
            theirs = np.take(theirs, columns, axis=1, out=gathered[: len(ours)], mode="clip")
        if (ours != theirs.view(ours.dtype)).any():
            return False
    return True


def _run(rows: Array | None, start: int, stop: int) -> Any:
    """Rows `start` to `stop` of what is kept: a slice where they lie together."""
    if rows is None:
        return slice(start, stop)
    chosen = rows[start:stop]
    first, count = int(chosen[0]), len(chosen)
    if int(chosen[-1]) - first == count - 1 and (np.diff(chosen) == 1).all():
        return slice(first, first + count)
    return chosen


def _lanes(columns: Array | None, lanes: int) -> Array | None:
    """Columns that come in whole words of 8 bytes (heads do), as such words; None otherwise."""
    if columns is None:
        return np.empty(0, np.intp)
    if len(columns) % lanes:
        return None
    groups = columns.reshape(-1, lanes)
    whole = (groups[:, :1] + np.arange(lanes) == groups).all() and not (groups[:, 0] % lanes).any()
    return groups[:, 0] // lanes if whole else None


def _changed(original: Matrix, pruned: Matrix, rows: Array | None, columns: Array | None) -> Drift:
    step = max(1, min(original.chunk(), pruned.chunk()))
    valid = slice(None) if columns is None else columns >= 0
    chosen = None if columns is None else columns[columns >= 0]
    difference = norm = 0.0
    finite = True
    for start in range(0, pruned.shape[0], step):
        here: Any = slice(start, min(start + step, pruned.shape[0]))
        there: Any = here
        if rows is not None:
            there = rows[here]
            here = np.arange(here.start, here.stop)[there >= 0]
            there = there[there >= 0]
        theirs = original.floats(there)
        if chosen is not None:
            theirs = theirs.take(chosen, axis=1)
        ours = pruned.floats(here)[:, valid]
        theirs = np.ascontiguousarray(theirs).reshape(-1)
        with np.errstate(over="ignore", invalid="ignore"):
            change = np.ascontiguousarray(ours).reshape(-1) - theirs
        here_differs = float(np.dot(change, change))
        # Squares may overflow, and the original may have its own: only then is it looked for.
        finite = finite and (isfinite(here_differs) or bool(np.isfinite(ours).all()))
        difference += here_differs
        norm += float(np.dot(theirs, theirs))
    if not norm:
        return Drift(False, inf if difference else 0.0, finite)
    return Drift(False, sqrt(difference / norm), finite)
