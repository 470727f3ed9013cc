"""Do these pieces make a whole tensor? Each of its elements must lie in one piece, and one only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import product
from typing import Any

from prunescope.checkpoint.storage import File
from prunescope.checkpoint.types import TensorInfo
from prunescope.errors import CheckpointError

# Data, tensor and expert parallelism split an axis each.
MAX_SPLIT_AXES = 4
# Of the pieces of one tensor; each takes some 200 bytes while they are added up.
MAX_CORNERS = 1 << 19
_Box = tuple[tuple[int, ...], tuple[int, ...]]


class LateParts(Sequence[TensorInfo]):
    """The pieces of a tensor, looked for in their files once somebody asks for one.

    Whoever asks for the first gets that alone; any other brings all.

    Args:
        count: how many there are.
        find: finds the first so many of them; it raises CheckpointError where they are not as they
            are listed.
    """

    def __init__(self, count: int, find: Callable[[int], Sequence[TensorInfo]]) -> None:
        self._count = count
        self._find = find

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if index == 0:
            return self._first
        return self._all[index]

    @cached_property
    def _first(self) -> TensorInfo:
        return self._find(1)[0]

    @cached_property
    def _all(self) -> Sequence[TensorInfo]:
        return self._find(self._count)


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
    if len(boxes) << len(split) > MAX_CORNERS:
        raise CheckpointError(file, f"tensor {name!r} is cut into too many pieces ({len(boxes)})")
    corners: tuple[list[tuple[int, ...]], list[tuple[int, ...]]] = ([], [])
    signs = [sum(choice) % 2 for choice in product((0, 1), repeat=len(split))]
    for start, sizes in boxes:
        edges = [(start[axis], start[axis] + sizes[axis]) for axis in split]
        for sign, corner in zip(signs, product(*edges), strict=True):
            corners[sign].append(corner)
    for sign, corner in zip(signs, product(*[(0, shape[axis]) for axis in split]), strict=True):
        corners[not sign].append(corner)
    if Counter(corners[0]) != Counter(corners[1]):
        raise CheckpointError(file, f"tensor {name!r}: its pieces leave a hole or overlap")
