"""Which tensors are fused into one? Its parts, each in the space of its own rows or columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prunescope.analysis.axes import Layout
from prunescope.architecture.labels import BESIDE, parts, solve
from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:
    np = require("numpy", "weights")


def part_positions(shapes: Layout, name: str, axis: int) -> list[Array] | None:
    """For each part of a fused axis, the rows (columns) that are its own, in its order.

    How long each is follows from the axes of other tensors that lie in one space alone, as
    `labels.solve` has it: of `heads+kv_heads+kv_heads` beside an output projection of 6 heads.

    Args:
        name: of a tensor of the model whose axes these are.

    Returns:
        None where the axis is of one space, or the lengths are not told or do not add up.
    """
    model = shapes.model
    label = model.roles[name].axes[axis]
    spaces = parts(label)
    if len(spaces) < 2:
        return None
    length, place = model.checkpoint.tensors[name].shape[axis], model.places[name]
    known = {space: shapes.alone(place.layer, space, place.expert) for space in spaces}
    told = solve(label, length, {space: rows for space, rows in known.items() if rows})
    lengths = [told[1] if told and space == told[0] else known[space] or 0 for space in spaces]
    if told is None or sum(lengths) != length or not all(lengths):
        return None
    if BESIDE not in label:
        ends = np.cumsum(lengths)
        return [np.arange(end - count, end) for count, end in zip(lengths, ends, strict=True)]
    return _beside(lengths, shapes.unit_rows.get(spaces[0]))


def _beside(lengths: list[int], unit: int | None) -> list[Array] | None:
    """Parts whose units lie beside each other: those of the fewest one by one, others in shares."""
    groups, rest = divmod(min(lengths), unit) if unit else (0, 1)
    if rest or any(length % groups for length in lengths):
        return None
    shares = [length // groups for length in lengths]
    starts = np.arange(groups)[:, None] * sum(shares)
    ends = np.cumsum(shares)
    return [
        (starts + np.arange(end - share, end)).reshape(-1)
        for share, end in zip(shares, ends, strict=True)
    ]
