"""Do these pieces make a whole tensor? Each of its elements must lie in one piece, and one only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product

from prunescope.checkpoint.storage import File
from prunescope.checkpoint.types import TensorInfo
from prunescope.errors import CheckpointError

# Data, tensor and expert parallelism split an axis each.
MAX_SPLIT_AXES = 4
_Box = tuple[tuple[int, ...], tuple[int, ...]]


def joined(
    name: str, shape: tuple[int, ...], dtype: str, pieces: Sequence[TensorInfo]
) -> TensorInfo:
    """The tensor `name`, made of `pieces` that `check_cover` found to fill it.

    Args:
        pieces: each with its `start`, of `dtype`; one or more.

    Returns:
        A tensor stored as a whole where one piece is all of it, else one with `parts`.
    """
    first = pieces[0]
    if len(pieces) == 1 and first.shape == shape:
        return TensorInfo(
            name, shape, dtype, first.file, first.offset, first.nbytes, first.record, first.strides
        )
    nbytes = sum(piece.nbytes for piece in pieces)
    return TensorInfo(name, shape, dtype, first.file, first.offset, nbytes, parts=tuple(pieces))


def check_cover(name: str, shape: tuple[int, ...], boxes: Sequence[_Box], file: File) -> None:
    """Raise CheckpointError unless the boxes (start, sizes) fill `shape`, each place once.

    The indicator function of a box is the sum of those of the quadrants at its corners, with
    alternating signs, and quadrants are linearly independent. So boxes tile the whole if and only
    if their signed corners add up to the corners of the whole: no pair of boxes is compared.
    """
    for start, sizes in boxes:
        if len(start) != len(shape) or len(sizes) != len(shape):
            raise CheckpointError(file, f"tensor {name!r}: a piece has other axes than the tensor")
        if any(at + n > length for at, n, length in zip(start, sizes, shape, strict=True)):
            raise CheckpointError(
                file, f"tensor {name!r}: a piece of {list(sizes)} at {list(start)} lies outside"
            )
    split = [
        axis
        for axis, length in enumerate(shape)
        if any(sizes[axis] != length for _, sizes in boxes)
    ]
    if len(split) > MAX_SPLIT_AXES:
        raise CheckpointError(file, f"tensor {name!r} is split along {len(split)} axes")
    corners: Counter[tuple[int, ...]] = Counter()
    for start, sizes in boxes:
        _add_corners(corners, [(start[axis], start[axis] + sizes[axis]) for axis in split], 1)
    _add_corners(corners, [(0, shape[axis]) for axis in split], -1)
    if any(corners.values()):
        raise CheckpointError(file, f"tensor {name!r}: its pieces leave a hole or overlap")


def _add_corners(
    corners: Counter[tuple[int, ...]], edges: Sequence[tuple[int, int]], sign: int
) -> None:
    for choice in product((0, 1), repeat=len(edges)):
        corner = tuple(edge[side] for edge, side in zip(edges, choice, strict=True))
        corners[corner] += -sign if sum(choice) % 2 else sign
