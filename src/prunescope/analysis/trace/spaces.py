"""Which units of a space survived, and do its tensors agree on it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prunescope.analysis.trace.drift import Drift, is_identical, measure
from prunescope.analysis.trace.location import locate
from prunescope.analysis.trace.matching import Match
from prunescope.analysis.trace.matrices import Matrix
from prunescope.analysis.trace.padding import empty, without
from prunescope.analysis.trace.results import PADDING, MemberTrace, SpaceTrace
from prunescope.architecture import Role
from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:
    np = require("numpy", "weights")


@dataclass(frozen=True)
class Member:
    """A tensor of both models with an axis in the space.

    Attributes:
        axis: which axis lies in it.
        other: what was kept along the other axis, original indices; None for all of it.
    """

    role: Role
    original: Matrix
    pruned: Matrix
    axis: int
    other: Array | None

    def along(self, kept: Array) -> tuple[Array | None, Array | None]:
        """Rows and columns of the original that are left, if `kept` is so of the space."""
        return (kept, self.other) if self.axis == 0 else (self.other, kept)


def trace_space(name: str, rows: int, members: Sequence[Member]) -> tuple[SpaceTrace, Array]:
    """Find what is left of a space.

    Args:
        rows: of a unit.
        members: at least one; those that decide where the votes are even come first.

    Returns:
        The trace, and for each row that is left its original index, -1 or `PADDING`.
    """
    found = _matches(members)
    kept, ambiguous = _consensus([match for match, _ in found])
    zeros = [empty(member.pruned, member.axis, match.kept) for member, (match, _) in
             zip(members, found, strict=True)]  # fmt: skip
    alike = [each for each in zeros if len(each) == len(kept)]
    kept = np.where((kept < 0) & np.all(alike, axis=0), PADDING, kept)
    traced = tuple(
        _member(name, member, match, known, kept, empties)
        for member, (match, known), empties in zip(members, found, zeros, strict=True)
    )
    before = members[0].original.shape[members[0].axis]
    units = _as_units(kept, rows, before)
    whole = units is not None
    trace = SpaceTrace(
        name,
        rows if whole else 1,
        before // rows if whole else before,
        tuple((kept if units is None else units).tolist()),
        whole,
        ambiguous,
        traced,
    )
    return trace, kept


def _matches(members: Sequence[Member]) -> list[tuple[Match, Drift | None]]:
    """Where each member comes from, and how far it has drifted where that is known already.

    What one member tells for certain is tried on the next, as is that nothing was cut: if every
    byte is as it should be then, there is nothing to look for.
    """
    found: dict[int, tuple[Match, Drift | None]] = {}
    guess: Array | None = None
    # Columns are the cheapest to look for: a few of a matrix's rows are enough.
    for index in sorted(range(len(members)), key=lambda i: -members[i].axis):
        member = members[index]
        length = member.pruned.shape[member.axis]
        whole = length == member.original.shape[member.axis]
        likely = np.arange(length) if whole else guess
        likely = likely if likely is not None and len(likely) == length else None
        if likely is not None:
            rows, columns = member.along(likely)
            if is_identical(member.original, member.pruned, rows, columns):
                match = Match(likely, np.zeros(length, bool))
                found[index] = match, Drift(True, 0.0)
                continue
        match = locate(member.original, member.pruned, member.axis, member.other, likely)
        found[index] = match, None
        if guess is None and (match.kept >= 0).all() and not match.ambiguous.any():
            guess = match.kept
    return [found[index] for index in range(len(members))]


def _consensus(found: Sequence[Match]) -> tuple[Array, int]:
    """What most members say of each row, the certain ones first; and rows that are ambiguous."""
    lengths = Counter(len(match.kept) for match in found)
    length = max(lengths, key=lambda n: lengths[n])
    voters = [match for match in found if len(match.kept) == length]
    kept = np.stack([match.kept for match in voters])
    certain = np.stack([~match.ambiguous & (match.kept >= 0) for match in voters])
    # A vote for each row: how many certain members say what this one does.
    same = kept[:, None, :] == kept[None, :, :]
    votes = (same & certain[:, None, :] & certain[None, :, :]).sum(1)
    # Uncertain ones count for less than any vote, and what found nothing for nothing.
    votes = 2 * votes + ((kept >= 0) & ~certain)
    winner = votes.argmax(0)
    chosen = np.take_along_axis(kept, winner[None], 0)[0]
    return chosen, int((~certain.any(0) & (chosen >= 0)).sum())


def _member(
    name: str, member: Member, match: Match, known: Drift | None, kept: Array, zeros: Array
) -> MemberTrace:
    found = match.kept >= 0
    if len(match.kept) != len(kept):
        # Cut to another length than the others: nothing of it lies where they say.
        disagreeing, along = len(match.kept), match.kept
    else:
        told = found & ~match.ambiguous & (kept >= 0)
        disagreeing = int((told & (match.kept != kept)).sum())
        along = match.kept if disagreeing else kept
    drift = known or _drift(member, along, zeros)
    return MemberTrace(
        member.pruned.info.name,
        member.role,
        name,
        disagreeing,
        int((~found & ~zeros).sum()),
        drift.identical,
        drift.relative,
        drift.finite,
        member.pruned.part,
    )


def _drift(member: Member, kept: Array, zeros: Array) -> Drift:
    pruned = member.pruned
    if zeros.any():
        rest = without(pruned, member.axis, kept, zeros)
        if rest is None:
            return Drift(True, 0.0)
        pruned, kept = rest
    return measure(member.original, pruned, *member.along(kept))


def _as_units(kept: Array, rows: int, before: int) -> Array | None:
    """Units instead of rows; None where not all rows of a unit were kept together."""
    if rows == 1:
        return kept
    if len(kept) % rows or before % rows:
        return None
    units = kept.reshape(-1, rows)
    first = units[:, 0]
    lost = (units == first[:, None]).all(1) & (first < 0)
    whole = (units == first[:, None] + np.arange(rows)).all(1) & (first % rows == 0)
    return np.where(lost, first, first // rows) if (lost | whole).all() else None
