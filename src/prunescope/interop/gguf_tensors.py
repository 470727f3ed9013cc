"""Which tensors are in a GGUF file, and of which of the model's are they made?

One of a file's may be rows of one of ours, as the query projection is of a fused one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prunescope.analysis.axes import Layout
from prunescope.analysis.llama_cpp import table_of
from prunescope.architecture import Family, Model, Module, Role
from prunescope.architecture.labels import parts
from prunescope.architecture.row_order import pairs_from_halves
from prunescope.checkpoint import TensorInfo
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import ArchitectureError, CheckpointError
from prunescope.extras import require
from prunescope.interop.gguf_keys import number
from prunescope.interop.gguf_types import as_float32

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float32]]
else:
    np = require("numpy", "gguf")

# Whose rows may have Meta's order, and the space of their heads.
_HEADS = {Role.Q: "heads", Role.K: "kv_heads"}
# What lies one behind the other in a fused projection.
_FUSED = {Role.QKV: (Role.Q, Role.K, Role.V), Role.GATE_UP: (Role.GATE, Role.UP)}
# Of as many layers is Gemma 2 27B, which alone llama.cpp scales otherwise.
_GEMMA_27B = 46


@dataclass(frozen=True, slots=True)
class Written:
    """A tensor of the file.

    Attributes:
        name: llama.cpp's.
        source: the tensor that has its values.
        rows: which of them, where not all.
        heads: of how many its rows get Meta's order; 0 where they stay.
        offset: added to each value.
        factor: by which each is multiplied.
    """

    name: str
    source: TensorInfo
    rows: range | None = None
    heads: int = 0
    offset: float = 0.0
    factor: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """Its axes' lengths."""
        shape = self.source.shape
        return shape if self.rows is None else (len(self.rows), *shape[1:])

    def values(self, weights: WeightMap) -> Array:
        """[shape] float32, C-contiguous.

        Raises:
            CheckpointError: as `as_float32`.
        """
        values = as_float32(weights, self.source)
        if self.rows is not None:
            values = values[self.rows.start : self.rows.stop]
        if self.heads:
            values = permute(values, self.heads)
        if self.factor != 1.0:
            values = values * np.float32(self.factor)
        if self.offset:
            values = values + np.float32(self.offset)
        return np.ascontiguousarray(values)


def permute(rows: Array, heads: int) -> Array:
    """The order that llama.cpp gives the rows of the query or key projection.

    See `row_order`; the inverse of `prunescope.interop.gguf.unpermute`.

    Args:
        rows: [heads · head_dim, …]; head_dim is even.
        heads: heads of the projection: for keys, the KV heads.

    Returns:
        The same shape and dtype.
    """
    by_head = rows.reshape(heads, rows.shape[0] // heads, *rows.shape[1:])
    return by_head.take(pairs_from_halves(by_head.shape[1]), axis=1).reshape(rows.shape)


def tensors_of(found: Layout, architecture: str) -> Iterator[Written]:
    """All tensors of a file of llama.cpp's `architecture`, in order.

    Raises:
        ArchitectureError: the architecture has no place for one of the model's.
        CheckpointError: a fused tensor has not the rows of its parts.
    """
    model = found.model
    theirs = _Names(table_of(model.family, architecture), architecture)
    factor = _query_factor(found)
    for number_, layer in enumerate(model.layers):
        for module in model.layers[layer].values():
            if module.role is not Role.BUFFER:
                yield from _of_layer(found, theirs, module, layer, number_, factor)
    for module in model.outside.values():
        for tensor in module.tensors:
            # A tied head is the embedding: llama.cpp takes that where there is no head.
            if not (module.role is Role.HEAD and tensor.shared_with is not None):
                name = theirs.outside.get(tensor.name)
                yield Written(
                    theirs.placed(name, model, tensor), tensor, offset=_offset(model, module.role)
                )


class _Names:
    """llama.cpp's names of transformers' tensors."""

    def __init__(self, table: Family, architecture: str) -> None:
        names = table.gguf
        assert names is not None
        self.architecture = architecture
        self.permuted = names.permuted
        self.prefix = names.layer_prefix
        self.outside = {ours: theirs for theirs, ours in names.model.items()}
        self.inside = {ours: theirs for theirs, ours in names.layer.items()}
        self.by_role = {
            (table.layer[ours].role, ours.rpartition(".")[2]): theirs
            for ours, theirs in self.inside.items()
        }

    def placed(self, name: str | None, model: Model, tensor: TensorInfo) -> str:
        """`name`, if there is one."""
        if name is None:
            raise ArchitectureError(
                f"{model.checkpoint.path}: llama.cpp's {self.architecture} has no place for the "
                f"tensor {tensor.name!r}"
            )
        return name


def _of_layer(
    found: Layout, theirs: _Names, module: Module, layer: int, number_: int, factor: float
) -> Iterator[Written]:
    model = found.model
    for tensor in module.tensors:
        place = model.family.place(tensor.name)
        assert place is not None
        kind = place[1].rpartition(".")[2]
        name = theirs.inside.get(place[1])
        pieces: list[tuple[Role, str | None, range | None]] = [(module.role, name, None)]
        if name is None and module.role in _FUSED:
            rows = _rows(found, tensor, layer)
            roles = _FUSED[module.role]
            pieces = [(r, theirs.by_role.get((r, kind)), rows[i]) for i, r in enumerate(roles)]
        for role, known, part in pieces:
            full = theirs.placed(known, model, tensor)
            heads = found.units(layer, _HEADS[role]) if role in _HEADS and theirs.permuted else 0
            yield Written(
                f"{theirs.prefix}{number_}.{full}",
                tensor,
                part,
                heads or 0,
                _offset(model, role),
                factor if role is Role.Q else 1.0,
            )


def _rows(found: Layout, tensor: TensorInfo, layer: int) -> list[range]:
    """The rows of each part of a fused tensor."""
    lengths = [
        found.rows(layer, space) or 0 for space in parts(found.model.roles[tensor.name].axes[0])
    ]
    if sum(lengths) != tensor.shape[0]:
        raise CheckpointError(
            tensor.file, f"tensor {tensor.name!r}: {tensor.shape[0]} rows are not {lengths}"
        )
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    return [range(end - length, end) for end, length in zip(ends, lengths, strict=True)]


def _offset(model: Model, role: Role) -> float:
    told = model.family.llama_cpp
    return told.norm_offset if told is not None and role.name.endswith("NORM") else 0.0


def _query_factor(found: Layout) -> float:
    """By what queries are multiplied, so that llama.cpp's scale of their scores is the model's.

    It takes the root of a head's rows; for Gemma 2 27B, which it knows by its depth, of the hidden
    size over the heads (src/models/gemma2.cpp).
    """
    model = found.model
    told = model.family.llama_cpp
    if told is None or told.query_scale is None:
        return 1.0
    taken = model.head_dim or 0
    if len(model.layers) == _GEMMA_27B:
        heads = found.units(next(iter(model.layers)), "heads") or 1
        taken = (found.rows(None, "hidden") or 0) // heads
    return math.sqrt(taken / number(model, told.query_scale))
