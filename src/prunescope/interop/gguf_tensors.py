"""Which tensors are in a GGUF file, and of which of the model's are they made?

One of a file's may be rows of one of ours, as the query projection is of a fused one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from prunescope.analysis.axes import Layout
from prunescope.analysis.llama_cpp_config import numbers
from prunescope.analysis.llama_cpp_names import Names, is_left_out
from prunescope.architecture import Module, Role
from prunescope.architecture.labels import parts
from prunescope.checkpoint import TensorInfo
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from prunescope.extras import require
from prunescope.interop.gguf_types import as_float32
from prunescope.interop.gguf_values import offset_of, permute, permuted_space, scaling_rows

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float32]]
else:
    np = require("numpy", "gguf")


@dataclass(frozen=True, slots=True)
class Written:
    """A tensor of the file.

    Attributes:
        name: llama.cpp's.
        sources: the tensors that have its values: one, or those of all experts, in order.
        is_stacked: whether it has an axis more, of as many as there are sources.
        is_routing: whether it chooses experts, for which llama.cpp's converter keeps float32.
        rows: which rows of the one source, where not all.
        heads: of how many its rows get Meta's order; 0 where they stay.
        offset: added to each value.
        factor: by which each is multiplied.
    """

    name: str
    sources: tuple[TensorInfo, ...]
    is_stacked: bool = False
    is_routing: bool = False
    rows: range | None = None
    heads: int = 0
    offset: float = 0.0
    factor: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """Its axes' lengths."""
        shape = self.sources[0].shape
        if self.is_stacked:
            return (len(self.sources), *shape)
        if self.is_routing and shape[0] == 1:
            # As llama.cpp's converter has it; transformers' GGUF loading takes no other.
            return shape[1:]
        return shape if self.rows is None else (len(self.rows), *shape[1:])

    def values(self, weights: WeightMap) -> Iterator[Array]:
        """One source's after the other: float32, C-contiguous.

        Raises:
            CheckpointError: as `as_float32`.
        """
        for source in self.sources:
            values = as_float32(weights, source)
            if self.rows is not None:
                values = values[self.rows.start : self.rows.stop]
            if self.heads:
                values = permute(values, self.heads)
            if self.factor != 1.0:
                values = values * np.float32(self.factor)
            if self.offset:
                values = values + np.float32(self.offset)
            yield np.ascontiguousarray(values)


def tensors_of(found: Layout, architecture: str) -> Iterator[Written]:
    """All tensors of a file of llama.cpp's `architecture`, which has a place for each, in order.

    Raises:
        CheckpointError: a fused tensor has not the rows of its parts.
    """
    model = found.model
    theirs = Names(model.family, architecture)
    factor = _query_factor(found)
    for number_, layer in enumerate(model.layers):
        for module in model.layers[layer].values():
            if module.role is not Role.BUFFER:
                for made in _of_module(found, theirs, module, layer):
                    made = replace(made, name=f"{theirs.prefix}{number_}.{made.name}")
                    yield replace(made, factor=factor) if module.role is Role.Q else made
    for module in model.outside.values():
        for tensor in module.tensors:
            if not is_left_out(module.role, tensor):
                name = theirs.outside[tensor.name]
                yield Written(name, (tensor,), offset=offset_of(model.family, module.role))


def _of_module(found: Layout, theirs: Names, module: Module, layer: int) -> Iterator[Written]:
    """The tensors of a module, without the layer's part of their names."""
    model, role = found.model, module.role
    experts: dict[str, list[tuple[int, TensorInfo]]] = {}
    for tensor in module.tensors:
        place = model.family.locate(tensor.name)
        assert place is not None
        names = theirs.of(role, place.key)
        if place.expert is not None:
            (name,) = names.values()
            experts.setdefault(name, []).append((place.expert, tensor))
        elif role not in names:
            for (part, name), rows in zip(names.items(), _rows(found, tensor, layer), strict=True):
                heads = _heads(found, theirs, part, layer)
                yield Written(name, (tensor,), rows=rows, heads=heads)
        else:
            yield Written(
                names[role],
                (tensor,),
                is_routing=role in (Role.ROUTER, Role.SHARED_ROUTER),
                heads=_heads(found, theirs, role, layer),
                offset=offset_of(model.family, role),
            )
    for name, each in experts.items():
        ordered = tuple(tensor for _, tensor in sorted(each, key=lambda pair: pair[0]))
        yield Written(name, ordered, is_stacked=True)


def _heads(found: Layout, theirs: Names, role: Role, layer: int) -> int:
    space = permuted_space(theirs, role)
    return 0 if space is None else found.units(layer, space) or 0


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


def _query_factor(found: Layout) -> float:
    """By what queries are multiplied, so that llama.cpp's scale of their scores is the model's."""
    model = found.model
    told = model.family.llama_cpp
    if told is None or told.query_scale is None:
        return 1.0
    taken = scaling_rows(
        len(model.layers),
        model.head_dim or 0,
        found.rows(None, "hidden") or 0,
        found.units(next(iter(model.layers)), "heads") or 1,
    )
    return math.sqrt(taken / numbers(model.checkpoint.config, told)[told.query_scale])
