"""Where in the original do the rows or columns of a pruned tensor come from?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prunescope.analysis.trace.alignment import align, follows
from prunescope.analysis.trace.matching import Match, same_keys, settle_ties
from prunescope.analysis.trace.matrices import Matrix
from prunescope.analysis.trace.samples import full_keys, keys, sketches
from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:
    np = require("numpy", "weights")


def locate(
    original: Matrix, pruned: Matrix, axis: int, other: Array | None, likely: Array | None = None
) -> Match:
    """Match the rows (axis 0) or columns (axis 1) of `pruned` with those of `original`.

    Those with the same bits are matched by them, the others by likeness.

    Args:
        other: what was kept along the other axis, original indices; None for all of it.
        likely: a guess, one original index for each row: where all that were changed are like
            the rows it names, nothing else is looked at.
    """
    length = pruned.shape[1 - axis]
    count = pruned.shape[axis]
    found = Match(np.full(count, -1, np.intp), np.zeros(count, bool))
    if pruned.words is not None and original.words is not None and original.dtype == pruned.dtype:
        found = _equal(original, pruned, axis, other, length)
    missing = found.kept < 0
    if missing.any():
        before, after = (
            sketches(original, axis, other, length),
            sketches(pruned, axis, None, length),
        )
        if likely is not None and follows(before, after[missing], likely[missing]):
            found.kept[missing] = likely[missing]
        else:
            like = align(before, after)
            found.kept[missing] = like.kept[missing]
            found.ambiguous[missing] = like.ambiguous[missing]
    return found


def _equal(original: Matrix, pruned: Matrix, axis: int, other: Array | None, length: int) -> Match:
    before, after = keys(original, axis, other, length), keys(pruned, axis, None, length)
    kept, tied, rivals = same_keys(before, after)
    if not len(tied):
        return Match(kept, np.zeros(len(kept), bool))
    # Rows that begin alike may differ further on.
    before = full_keys(original, axis, rivals, other)
    after = full_keys(pruned, axis, tied, None)
    settled, still_tied, still_rivals = same_keys(before, after)
    kept[tied] = np.where(settled < 0, -1, rivals[settled])
    return settle_ties(
        kept, after[still_tied], before[still_rivals], tied[still_tied], rivals[still_rivals]
    )
