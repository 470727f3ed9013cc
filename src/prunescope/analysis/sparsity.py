"""Which weights are zero, in what patterns, and what are the others like? Module by module.

Zeros inside a tensor, that is; what shapes lost is `prunescope.analysis.compare`'s. Every weight is
read once, in pieces that fit a processor's cache, by as many threads as there are cores. Zeros are
all that is looked for unless statistics of the values are asked for, which take several times as
long.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import prod
from threading import Lock, local
from typing import TYPE_CHECKING

from prunescope.analysis.number_formats import FLOATS, INTEGERS, Array
from prunescope.analysis.sparsity_result import ModelSparsity, Sparsity, TensorSparsity, both
from prunescope.analysis.value_statistics import Values, statistics
from prunescope.analysis.zero_marks import ROWS, Scratch, has_zero
from prunescope.analysis.zero_patterns import STRIP, Share, ZeroCount
from prunescope.architecture import Role, describe
from prunescope.checkpoint import Checkpoint, TensorInfo
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from prunescope.extras import require
from prunescope.steps import Progress, silent

if TYPE_CHECKING:
    import numpy as np
else:
    np = require("numpy", "weights")

# Elements whose statistics are one sum: few enough for a cache, enough that calls cost little.
_PIECE = 1 << 18
# Elements whose zeros are counted together: more, since one bit is left of each.
_TILE = ROWS * STRIP
# What one task of a thread reads, about; and what is read before pages are given back.
_BAND_BYTES = 16 << 20
_RELEASE_BYTES = 256 << 20


class _Held(local):
    """What each thread works in, got once."""

    def __init__(self) -> None:
        self.zeros = Scratch(ROWS * STRIP)
        self.values = np.empty(_PIECE + 3, np.uint32)


def sparsity(
    checkpoint: Checkpoint, progress: Progress = silent, values: bool = False
) -> ModelSparsity:
    """Read every weight of a model.

    Args:
        checkpoint: a model here, of float or integer types.
        progress: called with the number of steps; yields what counts one of them off.
        values: whether to compute statistics of the values, too.

    Raises:
        ArchitectureError: an adapter, or an unknown family.
        CheckpointError: weights that are remote, quantised, in pieces or cut off.
        MissingExtra: numpy is not installed.
    """
    model = describe(checkpoint)
    chosen = [
        (layer, model.roles[t.name], t)
        for layer, modules in [*model.layers.items(), (None, model.outside)]
        for module in modules.values()
        for t in module.tensors
        if module.role is not Role.BUFFER and t.shared_with is None
    ]
    position = {name: place for place, name in enumerate(model.checkpoint.tensors)}
    chosen.sort(key=lambda entry: position[entry[2].name])
    with WeightMap() as weights:
        # All of them first: what cannot be read should not show after minutes.
        matrices = [_matrix(weights, tensor) for _, _, tensor in chosen]
        found = _counted(weights, [t for _, _, t in chosen], matrices, progress, values)
    pairs = zip(chosen, found, strict=True)
    return ModelSparsity(model, tuple(TensorSparsity(*entry, result) for entry, result in pairs))


def _matrix(weights: WeightMap, tensor: TensorInfo) -> Array:
    """The tensor over the mapped file as [rows, columns]: words of its floats, or integers."""
    view = weights.view(tensor)
    if tensor.dtype in INTEGERS:
        kind = np.dtype(INTEGERS[tensor.dtype])
    elif tensor.dtype in FLOATS:
        kind = np.dtype(f"u{FLOATS[tensor.dtype].bits // 8}")
    else:
        raise CheckpointError(
            tensor.file, f"tensor {tensor.name!r}: values of type {tensor.dtype} cannot be counted"
        )
    shape = tensor.shape or (1,)
    if not tensor.parameters:
        return np.empty((0, shape[-1]), kind)
    array = np.frombuffer(view, kind)
    if tensor.strides is not None:
        steps = [kind.itemsize * stride for stride in tensor.strides]
        array = np.lib.stride_tricks.as_strided(array, shape, steps, writeable=False)
    return array.reshape(prod(shape[:-1]), shape[-1])


def _counted(
    weights: WeightMap,
    tensors: list[TensorInfo],
    matrices: list[Array],
    progress: Progress,
    with_values: bool,
) -> list[Sparsity]:
    tasks = [(n, band) for n, matrix in enumerate(matrices) for band in _bands(matrix)]
    zeros = [ZeroCount(matrix.shape[1]) for matrix in matrices]
    held, lock = _Held(), Lock()
    unreleased = 0

    def work(task: tuple[int, slice]) -> Values | None:
        nonlocal unreleased
        number, band = task
        part = matrices[number][band]
        counted, measured = _band(part, tensors[number].dtype, with_values, held)
        with lock:
            zeros[number] += counted
            unreleased += part.nbytes
            if unreleased >= _RELEASE_BYTES:
                unreleased = 0
                weights.release()
        return measured

    values = [Values() if with_values else None for _ in matrices]
    pool = ThreadPoolExecutor(_cores())
    try:
        with progress(len(tasks)) as tick:
            # In the tasks' order: the same file gives the same figures to the last bit.
            for (number, _), measured in zip(tasks, pool.map(work, tasks), strict=True):
                values[number] = both(values[number], measured)
                tick()
    finally:
        pool.shutdown(cancel_futures=True)
    return [_result(*of) for of in zip(tensors, matrices, zeros, values, strict=True)]


def _bands(matrix: Array) -> Iterator[slice]:
    rows, columns = matrix.shape
    step = _rows(_BAND_BYTES // matrix.itemsize, columns)
    for start in range(0, rows, step):
        yield slice(start, start + step)


def _rows(elements: int, columns: int) -> int:
    """Rows of about so many elements: whole blocks."""
    return max(ROWS, elements // max(1, columns) // ROWS * ROWS)


def _band(
    part: Array, dtype: str, with_values: bool, held: _Held
) -> tuple[ZeroCount, Values | None]:
    rows, columns = part.shape
    counted, measured = ZeroCount(columns), Values() if with_values else None
    step = _rows(_PIECE if with_values else _TILE, columns)
    # Where a tile has zeros the next is likely to, and asking first would read it twice.
    zero_here = False
    for start in range(0, rows, step):
        tile = np.ascontiguousarray(part[start : start + step])
        if measured is not None:
            measured, zero_here = _measured(measured, tile.reshape(-1), dtype, held.values)
        elif not zero_here:
            zero_here = has_zero(tile.reshape(-1), dtype)
        if zero_here:
            before = counted.zeros
            counted.add(tile, dtype, held.zeros)
            zero_here = counted.zeros > before
        else:
            counted.add_full()
    return counted, measured


def _measured(before: Values, bits: Array, dtype: str, scratch: Array) -> tuple[Values, bool]:
    """Statistics of what came before and of these elements, and whether a zero is among them."""
    zero_here = False
    for start in range(0, bits.size, _PIECE):
        found, in_piece = statistics(bits[start : start + _PIECE], dtype, scratch)
        before += found
        zero_here |= in_piece
    return before, zero_here


def _result(tensor: TensorInfo, matrix: Array, count: ZeroCount, values: Values | None) -> Sparsity:
    rows, columns = matrix.shape
    zeros = Share(count.zeros, matrix.size)
    if len(tensor.shape) < 2:
        return Sparsity(zeros, None, None, None, None, None, None, values)
    return Sparsity(
        zeros,
        Share(count.two_four, matrix.size // 4) if columns % 4 == 0 else None,
        Share(count.four_eight, matrix.size // 8) if columns % 8 == 0 else None,
        Share(count.blocks16, -(-rows // 16) * -(-columns // 16)),
        Share(count.blocks32, -(-rows // 32) * -(-columns // 32)),
        Share(count.empty_rows, rows),
        Share(count.empty_columns if rows else 0, columns),
        values,
    )


def _cores() -> int:
    # What this process may use, which a container limits; macOS does not say.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
