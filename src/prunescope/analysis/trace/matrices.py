"""How is a tensor read, whatever it is stored as? Rows of words or of float32, in one order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from prunescope.analysis.trace.decoding import WORDS, Decode, plain_words, quantised, values_of
from prunescope.architecture import Model, Role
from prunescope.architecture.row_order import halves_from_pairs
from prunescope.checkpoint import TensorInfo
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:
    np = require("numpy", "weights")

# So many that what Python itself does for each chunk takes no time.
_CHUNK_BYTES = 1 << 21
# Whose rows llama.cpp stores in another order, in some families.
_PERMUTED = (Role.Q, Role.K)


@dataclass(frozen=True)
class Matrix:
    """A weight or, as a single column, a bias or norm.

    Attributes:
        info: its header.
        shape: (rows, columns).
        words: as stored, over the map; None where values have to be decoded.
        decode: stored rows → float32; None where `words` are there.
        order: row → the stored row; None where they are the same.
        part: `2/3` of the second of three that are fused into one tensor; None for a whole one.
    """

    info: TensorInfo
    shape: tuple[int, int]
    words: Array | None
    decode: Decode | None
    order: Array | None
    part: str | None = None

    @property
    def dtype(self) -> str:
        """As the header names it."""
        return self.info.dtype

    def block(self, rows: Any, out: Array | None = None) -> Array:
        """Stored words of `rows`, a slice or indices: a view where they lie together.

        Args:
            out: where indexed rows may be put, at least as many as are asked for.
        """
        if self.words is None:
            raise ValueError(f"{self.info.name} has no plain words")
        if self.order is not None:
            rows = self.order[rows]
        if out is None or isinstance(rows, slice):
            found: Array = self.words[rows]
            return found
        taken: Array = np.take(self.words, rows, axis=0, out=out[: len(rows)], mode="clip")
        return taken

    def floats(self, rows: Any, columns: Array | None = None) -> Array:
        """float32 values of `rows`, a slice or indices, and of `columns`, or all."""
        if self.decode is not None:
            found = self.decode(rows if self.order is None else self.order[rows])
            return found if columns is None else found[:, columns]
        words = self.block(rows)
        return values_of(words if columns is None else words[:, columns], self.dtype)

    def chunk(self) -> int:
        """How many rows to read at a time."""
        width = self.words.itemsize if self.words is not None else 4
        return max(1, _CHUNK_BYTES // max(1, width * self.shape[1]))

    def only(self, axis: int, positions: Array, part: str | None) -> Matrix:
        """Some of the rows (axis 0) or columns (axis 1), at least one, over the same bytes."""
        first, count = int(positions[0]), len(positions)
        together = bool((np.diff(positions) == 1).all())
        chosen: Any = slice(first, first + count) if together else positions
        words, decode, order = self.words, self.decode, self.order
        shape = (count, self.shape[1]) if axis == 0 else (self.shape[0], count)
        if axis == 0 and (words is None or order is not None or not together):
            order = positions if order is None else order[positions]
        elif words is not None:
            words = words[chosen] if axis == 0 else words[:, chosen]
        elif decode is not None:
            decode = partial(_columns_of, decode, chosen)
        return replace(self, shape=shape, words=words, decode=decode, order=order, part=part)


def _columns_of(decode: Decode, columns: Any, rows: Any) -> Array:
    found: Array = decode(rows)[:, columns]
    return found


def read_matrix(
    weights: WeightMap, model: Model, info: TensorInfo, role: Role, head_dim: int | None
) -> Matrix:
    """The tensor `info` of `model`, rows in transformers' order.

    Raises:
        CheckpointError: remote or truncated bytes, or a type that cannot be compared.
    """
    rows, columns = (*info.shape, 1, 1)[:2]
    order = None
    names = model.family.naming(info.name) if role in _PERMUTED else None
    if names is not None and names.permuted:
        order = _metas_order(info, rows, head_dim)
    if info.parts or info.dtype not in WORDS:
        decode = quantised(weights, info, model.checkpoint.config)
        return Matrix(info, (rows, columns), None, decode, order)
    return Matrix(info, (rows, columns), plain_words(weights, info), None, order)


def in_wide_words(matrix: Matrix) -> Matrix | None:
    """The same bytes in words of 8, which compare fastest; None where they do not fit."""
    words = matrix.words
    if words is None or not words.flags.c_contiguous or int(words.ctypes.data) % 8:
        return None
    lanes = 8 // words.itemsize
    if matrix.shape[1] % lanes:
        return None
    shape = matrix.shape[0], matrix.shape[1] // lanes
    return replace(matrix, shape=shape, words=words.view(np.uint64))


def _metas_order(info: TensorInfo, rows: int, head_dim: int | None) -> Array:
    """Where each row is."""
    if not head_dim:
        raise CheckpointError(
            info.file,
            f"tensor {info.name!r} has its rows in Meta's order, and no config.json or params.json "
            "beside it says how many make a head",
        )
    if head_dim % 2 or not rows or rows % head_dim:
        raise CheckpointError(
            info.file, f"tensor {info.name!r}: {rows} rows are not whole heads of {head_dim}"
        )
    order: Array = np.add.outer(np.arange(0, rows, head_dim), halves_from_pairs(head_dim))
    return order.reshape(-1)
