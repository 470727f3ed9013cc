"""Do the weights themselves hold NaN, infinity, or rows and columns of nothing but zeros?

Read through memory maps in blocks of about a mebibyte, on all cores, and given back to the system
tensor by tensor. Values are judged by their bits, so that no dtype is converted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prunescope.analysis.checks.check import Check, Finding, Verdict, finding, judged
from prunescope.architecture import Model
from prunescope.checkpoint import TensorInfo
from prunescope.checkpoint.runs import runs
from prunescope.checkpoint.weights import WeightMap
from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
else:
    np = require("numpy", "weights")

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class _Bits:
    """How a float is stored, sign bit first.

    Attributes:
        words: numpy's name of an unsigned integer as wide.
        magnitude: all bits but the sign.
        infinite: the magnitude of infinity; of a type without one, that of its NaN.
        nan: the words that are NaN, where not all magnitudes above `infinite` are.
    """

    words: str
    magnitude: int
    infinite: int
    nan: tuple[int, ...] = ()


# IEEE 754 binary16/32/64 and bfloat16; the FP8 types of https://arxiv.org/abs/2209.05433 (E4M3
# has no infinity and one NaN for each sign) and https://arxiv.org/abs/2206.02915 (FNUZ: the one
# NaN is the word that would be minus zero).
_FLOATS = {
    "F64": _Bits("<u8", 2**63 - 1, 0x7FF << 52),
    "F32": _Bits("<u4", 2**31 - 1, 0xFF << 23),
    "F16": _Bits("<u2", 2**15 - 1, 0x1F << 10),
    "BF16": _Bits("<u2", 2**15 - 1, 0xFF << 7),
    "F8_E5M2": _Bits("u1", 127, 0x7C),
    "F8_E4M3": _Bits("u1", 127, 0x7F, (0x7F, 0xFF)),
    "F8_E5M2FNUZ": _Bits("u1", 127, 128, (0x80,)),
    "F8_E4M3FNUZ": _Bits("u1", 127, 128, (0x80,)),
}


@dataclass
class _Seen:
    """What one tensor holds. `rows` and `columns` are marked where a value is not zero."""

    tensor: TensorInfo
    rows: np.ndarray[Any, Any]
    columns: np.ndarray[Any, Any]
    nan: int = 0
    infinite: int = 0
    bits: _Bits = field(default_factory=lambda: _FLOATS["F32"])

    def look(self, start: int, words: np.ndarray[Any, Any]) -> None:
        """Take in `words`, the tensor's elements from number `start` on."""
        magnitudes = words & words.dtype.type(self.bits.magnitude)
        if self.bits.nan:
            found = sum(int(np.count_nonzero(words == word)) for word in self.bits.nan)
            self.nan += found
        elif magnitudes.max() >= self.bits.infinite:
            self.infinite += int(np.count_nonzero(magnitudes == self.bits.infinite))
            self.nan += int(np.count_nonzero(magnitudes > self.bits.infinite))
        # Almost every row and column shows with its first values that it is not empty.
        width = len(self.columns)
        while len(magnitudes):
            row, column = divmod(start, width)
            if column or len(magnitudes) < width:
                part, count = magnitudes[: width - column], 1
                self.rows[row] |= part.any()
                if not self.columns[column : column + len(part)].all():
                    self.columns[column : column + len(part)] |= part != 0
            else:
                count = len(magnitudes) // width
                part = magnitudes[: count * width]
                self._whole_rows(row, part.reshape(count, width))
            magnitudes, start = magnitudes[len(part) :], start + len(part)

    def _whole_rows(self, row: int, block: np.ndarray[Any, Any]) -> None:
        begun = block[:, 0] != 0
        for number in np.flatnonzero(~begun):
            begun[number] = block[number].any()
        self.rows[row : row + len(block)] |= begun
        open_columns = np.flatnonzero(~self.columns)
        if len(open_columns):
            self.columns |= block[0] != 0
            open_columns = np.flatnonzero(~self.columns)
        if len(open_columns):
            self.columns[open_columns] = block[:, open_columns].any(axis=0)


def value_checks(model: Model, tick: Callable[[], None]) -> tuple[Check, ...]:
    """Read every weight of `model` that is stored as floats; `tick` after each tensor.

    Raises:
        CheckpointError: a file that is remote, cut off, or cannot be mapped.
        MissingExtra: numpy is not installed.
    """
    floats = _floats(model)
    tensors = model.checkpoint.tensors.values()
    others = sum(not _is_float(tensor) for tensor in tensors)
    verdict: Verdict = "pass" if floats else "skip"
    rest = [finding(verdict, "not_floats", n=others)] if others else []
    with WeightMap() as weights:
        # Maps are opened here, because the threads below share them.
        for tensor in floats:
            for stored in tensor.parts or (tensor,):
                weights.view(stored)

        def look(tensor: TensorInfo) -> _Seen:
            seen = _look(weights, tensor)
            weights.release()
            tick()
            return seen

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            found = list(pool.map(look, floats))
    return (
        judged("weights", "finite", [*_finite(model, found), *rest]),
        judged("weights", "zeros", [*_zeros(model, found), *rest]),
    )


def tensors_read(model: Model) -> int:
    """How often `value_checks` ticks."""
    return len(_floats(model))


def _floats(model: Model) -> list[TensorInfo]:
    tensors = model.checkpoint.tensors.values()
    return [t for t in tensors if _is_float(t) and t.shared_with is None and t.parameters]


def _is_float(tensor: TensorInfo) -> bool:
    """Whether its own values are stored: not packed with scales, at most in pieces."""
    is_packed = bool(tensor.parts) and tensor.parts[0].start is None
    return tensor.dtype in _FLOATS and not is_packed


def _look(weights: WeightMap, tensor: TensorInfo) -> _Seen:
    bits = _FLOATS[tensor.dtype]
    width = tensor.shape[-1] if tensor.shape else 1
    seen = _Seen(
        tensor, np.zeros(tensor.parameters // width, bool), np.zeros(width, bool), bits=bits
    )
    size = np.dtype(bits.words).itemsize
    # Whole rows at a time, where a block holds one.
    step = max(width, _BLOCK // size // width * width) if width * size <= _BLOCK else _BLOCK // size
    for offset, run in runs(weights, tensor):
        words = np.frombuffer(run, bits.words)
        first = offset // size
        # Up to the next row, then whole blocks.
        cut = min(-first % width, len(words)) if step % width == 0 else 0
        for begin, end in _spans(cut, len(words), step):
            seen.look(first + begin, words[begin:end])
    return seen


def _spans(cut: int, length: int, step: int) -> Iterator[tuple[int, int]]:
    if cut:
        yield 0, cut
    for begin in range(cut, length, step):
        yield begin, min(begin + step, length)


def _finite(model: Model, found: list[_Seen]) -> Iterator[Finding]:
    for seen in found:
        if seen.nan or seen.infinite:
            layer, key = model.place(seen.tensor.name)
            counts = {"nan": seen.nan, "infinite": seen.infinite}
            yield finding("fail", "not_finite", layer, tensor=key, **counts)


def _zeros(model: Model, found: list[_Seen]) -> Iterator[Finding]:
    """Of a layer's matrices: rows of an embedding are zero where a token was never trained."""
    for seen in found:
        layer, key = model.place(seen.tensor.name)
        if len(seen.tensor.shape) < 2 or layer is None:
            continue
        rows, columns = (int(np.count_nonzero(~marks)) for marks in (seen.rows, seen.columns))
        if rows or columns:
            yield finding("warn", "zero_rows", layer, tensor=key, rows=rows, columns=columns)
