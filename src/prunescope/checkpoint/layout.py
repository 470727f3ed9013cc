"""Do tensors have possible shapes, and lie one behind the other without hole or overlap?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prunescope.checkpoint.storage import File
from prunescope.checkpoint.types import TensorInfo
from prunescope.errors import CheckpointError

MAX_ELEMENTS = 1 << 63


def elements_of(name: str, shape: Sequence[int], file: File) -> int:
    """How many elements the tensor `name` has.

    Raises:
        CheckpointError: MAX_ELEMENTS or more, also where a zero comes after.
    """
    elements = 1
    for n in shape:
        elements *= n
        if elements >= MAX_ELEMENTS:
            raise CheckpointError(file, f"tensor {name!r}: shape overflows 63 bits")
    return elements


def check_layout(tensors: Iterable[TensorInfo], start: int, file: File, alignment: int = 1) -> int:
    """Check that the first tensor begins at `start`, and each other where the one before it ends.

    Args:
        alignment: bytes of which each tensor begins at a multiple.

    Returns:
        Where the last one ends; `start` without any.

    Raises:
        CheckpointError: a hole, an overlap, or a tensor that goes beyond the end of the file.
    """
    position = end = start
    for tensor in sorted(tensors, key=lambda t: (t.offset, t.nbytes)):
        if tensor.offset < position:
            raise CheckpointError(file, f"tensor {tensor.name!r} overlaps another")
        end = tensor.offset + tensor.nbytes
        if end > file.size:
            raise CheckpointError(file, f"truncated inside tensor {tensor.name!r}")
        if tensor.offset > position:
            raise CheckpointError(file, f"hole of bytes before tensor {tensor.name!r}")
        position = aligned(end, alignment)
    return end


def aligned(position: int, alignment: int) -> int:
    """The first multiple of `alignment` from `position` on."""
    return -(-position // alignment) * alignment
