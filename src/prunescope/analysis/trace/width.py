"""Which columns of the hidden dimension are left? Told by a tensor whose other axis is whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from prunescope.analysis.trace.location import locate
from prunescope.analysis.trace.matching import same_keys
from prunescope.analysis.trace.samples import mixed
from prunescope.analysis.trace.spaces import Member
from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:
    np = require("numpy", "weights")


def locate_shared(members: Iterable[Member], vectors: Sequence[Member]) -> Array | None:
    """Original indices of what is left of a space that every layer shares.

    Args:
        members: weights with an axis in it; the likeliest to be whole along the other first.
        vectors: norms, for a model of which no weight is whole along the other axis.

    Returns:
        None where neither tells of every index.
    """
    for member in members:
        across = 1 - member.axis
        if member.original.shape[across] == member.pruned.shape[across]:
            kept = locate(member.original, member.pruned, member.axis, None).kept
            if (kept >= 0).all():
                return kept
    return _from_vectors(vectors)


def _from_vectors(vectors: Sequence[Member]) -> Array | None:
    """Each index by its value in every norm: together they are unlike those of any other."""
    if not vectors:
        return None
    before, after = (
        mixed(np.concatenate([m.floats(slice(None)) for m in matrices], axis=1).view(np.uint32))
        for matrices in ([v.original for v in vectors], [v.pruned for v in vectors])
    )
    kept, _, _ = same_keys(before, after)
    return kept if (kept >= 0).all() else None
