"""Which weights are in this GGUF file? Float32 under transformers' names, in its row order.

Of what both read bit for bit what transformers' own GGUF loading gives
(https://huggingface.co/docs/transformers/gguf), several times as fast, and a tensor at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

from prunescope.architecture import TensorRole
from prunescope.architecture.labels import NO_SPACE, parts
from prunescope.architecture.tensor_names import ANY, numbered
from prunescope.architecture.unstacked import MAX_APART
from prunescope.checkpoint import Checkpoint, TensorInfo
from prunescope.checkpoint.gguf_config import HEAD, PER_LAYER
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError, first_line
from prunescope.extras import require
from prunescope.interop.gguf_family import Reading
from prunescope.interop.gguf_rope import BY_LENGTH, FACTORS
from prunescope.interop.gguf_values import offset_of, permuted_space, unpermute

if TYPE_CHECKING:
    import gguf
    import numpy as np
else:
    gguf = require("gguf", "demo")
    np = require("numpy", "demo")

_BYTES = 4


@dataclass(frozen=True, slots=True)
class Held:
    """One of transformers' tensors, and where its values are.

    Attributes:
        name, shape: transformers'.
        source: the file's tensor.
        expert: which of those that are stacked in it; None for all of it.
        heads: of how many the rows have llama.cpp's order; 0 where they stay.
        offset: what the file's values have more.
    """

    name: str
    shape: tuple[int, ...]
    source: TensorInfo
    expert: int | None = None
    heads: int = 0
    offset: float = 0.0

    @property
    def info(self) -> TensorInfo:
        """What is written of it, before its bytes are known."""
        nbytes = _BYTES * prod(self.shape)
        return replace(self.source, name=self.name, shape=self.shape, dtype="F32", nbytes=nbytes)

    def values(self, weights: WeightMap) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Its values: [out, in] or [length], C-contiguous.

        Raises:
            CheckpointError: of a type that the `gguf` library cannot dequantise.
        """
        data = np.frombuffer(weights.view(self.source), np.uint8)
        if self.expert is not None:
            data = data.reshape(self.source.shape[0], -1)[self.expert]
        rows = data.reshape(*self.shape[:-1], -1)
        try:
            kind = gguf.GGMLQuantizationType[self.source.dtype]
            values = gguf.dequantize(rows, kind).reshape(self.shape)
        except Exception as err:  # gguf raises what numpy does
            cause = f"tensor {self.source.name!r}: {first_line(err)}"
            raise CheckpointError(self.source.file, cause) from None
        if self.heads:
            values = unpermute(values, self.heads)
        if self.offset:
            values = values - np.float32(self.offset)
        return np.ascontiguousarray(values, np.float32)


class Dequantised:
    """The bytes of tensors that are `Held`, for `safetensors_writer.write_safetensors`."""

    def __init__(self, held: Mapping[str, Held], weights: WeightMap) -> None:
        self._held, self._weights = held, weights

    def runs(self, tensor: TensorInfo) -> Iterator[tuple[int, memoryview | bytes]]:
        """All of a tensor at once."""
        values = self._held[tensor.name].values(self._weights)
        yield 0, values.astype("<f4", copy=False).data.cast("B")

    def release(self) -> None:
        """See `WeightMap.release`."""
        self._weights.release()


def held_in(source: Checkpoint, reading: Reading, config: Mapping[str, Any]) -> dict[str, Held]:
    """Each tensor of the model of this `config`, by its name; headers alone are read.

    Args:
        source: a GGUF, all shards of it.
        config: layers depart from it in its `per_layer_config`.

    Raises:
        CheckpointError: a tensor is missing, is one too many, has not the shape that `config` gives
            it, or is of a type that the installed `gguf` does not know.
    """
    layers, needed, in_layer = config["num_hidden_layers"], reading.needed, reading.layer
    if layers > len(source.tensors):
        # Whatever the file says of their number, it is to take no time.
        raise CheckpointError(
            source.path, f"{len(source.tensors)} tensors are too few for {layers} layers"
        )
    found: list[Held] = []
    for name, theirs in reading.names.outside.items():
        if theirs != HEAD or not config["tie_word_embeddings"]:
            role = reading.family.model[name]
            found += _held(source, reading, (name, theirs), role, config)
    for layer in range(layers):
        own = {**config, **config.get(PER_LAYER, {}).get(str(layer), {})}
        for key, name in in_layer.items():
            names = (
                f"{reading.family.layer_prefix}{layer}.{key}",
                f"{reading.names.prefix}{layer}.{name}",
            )
            if names[1] in source.tensors or key in needed:
                found += _held(source, reading, names, reading.family.layer[key], own)
                if len(found) > MAX_APART:
                    raise CheckpointError(source.path, "more experts than any model has")
    used = {each.source.name for each in found} | {FACTORS, *BY_LENGTH.values()}
    for name in source.tensors:
        # Old files have frequencies of each layer, too.
        if name not in used and reading.family.buffer(name) is None:
            raise CheckpointError(
                source.path,
                f"a {reading.family.name} of {layers} layers has no place for the GGUF tensor "
                f"{name!r}",
            )
    return {each.name: each for each in found}


def _held(
    source: Checkpoint,
    reading: Reading,
    names: tuple[str, str],
    role: TensorRole,
    config: Mapping[str, Any],
) -> Iterator[Held]:
    """What the tensor of `names`, ours and theirs, holds: of experts, each."""
    ours, theirs = names
    info = source.tensors.get(theirs)
    if info is None:
        raise CheckpointError(source.path, f"tensor {theirs!r} is missing")
    if info.dtype not in gguf.GGMLQuantizationType.__members__:
        cause = f"{info.dtype} is newer than the installed gguf"
        raise CheckpointError(source.path, f"tensor {theirs!r}: {cause}")
    shape = tuple(_length(reading, label, config) for label in role.axes)
    experts = config[reading.family.spaces["experts"].config] if ANY in ours else None
    whole = shape if experts is None else (experts, *shape)
    if _without_ones(info.shape) != _without_ones(whole):
        raise CheckpointError(
            source.path, f"tensor {theirs!r} is {list(info.shape)}, its keys say {list(whole)}"
        )
    space = permuted_space(reading.names, role.role)
    heads = 0 if space is None else config[reading.family.spaces[space].config]
    offset = offset_of(reading.family, role.role)
    for expert in (None,) if experts is None else range(experts):
        yield Held(numbered(ours, expert), shape, info, expert, heads, offset)


def _length(reading: Reading, label: str, config: Mapping[str, Any]) -> int:
    """How long an axis is; one in no space is of one row."""
    if label == NO_SPACE:
        return 1
    spaces = [reading.family.spaces[part] for part in parts(label)]
    return sum(config[each.config] * (config[each.unit] if each.unit else 1) for each in spaces)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape as ggml has it, to which outer axes of one are none."""
    while shape[:1] == (1,):
        shape = shape[1:]
    return shape
