"""How do a tensor's bytes come out row by row, however they are stored? In runs, never as a whole.

Strided tensors come out contiguous and pieces at their places; no array library is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Literal

from prunescope.checkpoint.dtypes import DTYPE_BITS
from prunescope.checkpoint.types import TensorInfo
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError

MAX_RUN = 16 << 20
# What memoryview can step through; a wider element is two of eight bytes.
_FORMATS: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}


def runs(weights: WeightMap, tensor: TensorInfo) -> Iterator[tuple[int, memoryview | bytes]]:
    """The bytes of `tensor` with rows contiguous, outermost axis first, as (offset, bytes).

    Args:
        weights: the open files.
        tensor: stored as a whole, strided or not, or in pieces that fill it.

    Yields:
        Runs of at most MAX_RUN bytes that together fill the tensor once; in ascending order
        unless it is stored in pieces.

    Raises:
        CheckpointError: the tensor is packed in parts that are no pieces of it, or as
            `WeightMap.view`.
    """
    if not tensor.parts:
        position = 0
        for block in _rows(weights, tensor):
            for cut in _cuts(block):
                yield position, cut
                position += len(cut)
        return
    for piece in tensor.parts:
        yield from _placed(weights, tensor, piece)


def _rows(weights: WeightMap, tensor: TensorInfo) -> Iterator[memoryview | bytes]:
    if not tensor.parameters:
        return
    view = weights.view(tensor)
    if tensor.strides is None:
        yield view
        return
    shape, strides = tensor.shape, tensor.strides
    width = DTYPE_BITS[tensor.dtype] // 8
    if width not in _FORMATS:
        shape, strides, width = (*shape, 2), (*(2 * n for n in strides), 1), width // 2
    elements = view.cast(_FORMATS[width])
    length, step = shape[-1], strides[-1]
    for index in product(*map(range, shape[:-1])):
        start = sum(at * stride for at, stride in zip(index, strides[:-1], strict=True))
        if step:
            yield elements[start : start + step * (length - 1) + 1 : step].tobytes()
        else:
            # An expanded axis: one element, seen many times.
            yield elements[start : start + 1].tobytes() * length


def _placed(
    weights: WeightMap, whole: TensorInfo, piece: TensorInfo
) -> Iterator[tuple[int, memoryview | bytes]]:
    if piece.start is None or len(piece.start) != len(whole.shape):
        raise CheckpointError(whole.file, f"tensor {whole.name!r} is packed ({whole.dtype})")
    width = DTYPE_BITS[whole.dtype] // 8
    steps = [prod(whole.shape[axis + 1 :]) for axis in range(len(whole.shape))]
    # Inner axes that the piece has all of lie in one run with the next outer one.
    inner = max((axis for axis, n in enumerate(whole.shape) if piece.shape[axis] != n), default=0)
    run = prod(piece.shape[inner:]) * width
    data = weights.view(piece) if piece.strides is None else b"".join(_rows(weights, piece))
    for number, index in enumerate(product(*map(range, piece.shape[:inner]))):
        place = sum(
            (start + at) * step
            for start, at, step in zip(piece.start, (*index, 0), steps, strict=False)
        )
        position = place * width
        for cut in _cuts(data[number * run : (number + 1) * run]):
            yield position, cut
            position += len(cut)


def _cuts(block: memoryview | bytes) -> Iterator[memoryview | bytes]:
    for start in range(0, len(block), MAX_RUN):
        yield block[start : start + MAX_RUN]
