"""What does a GGUF file say of a model? Its config.json in llama.cpp's keys, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.analysis.axes import Layout
from prunescope.architecture import Model, Role
from prunescope.errors import CheckpointError
from prunescope.extras import require
from prunescope.interop.formats import GgufType
from prunescope.interop.gguf_rope import MOST, add_rope
from prunescope.interop.gguf_types import file_type

if TYPE_CHECKING:
    import gguf
else:
    gguf = require("gguf", "gguf")

# Space → the writer's method for how many units of it there are: one number, or one a layer.
_LENGTHS = {
    "heads": "add_head_count",
    "kv_heads": "add_head_count_kv",
    "channels": "add_feed_forward_length",
}


def counts_of(found: Layout) -> dict[str, list[int]]:
    """Space → its units in each layer.

    Raises:
        CheckpointError: they are no whole number somewhere.
    """
    return {space: _counts(found, space) for space in _LENGTHS}


def add_config(
    writer: gguf.GGUFWriter, model: Model, counts: Mapping[str, list[int]], wanted: GgufType
) -> None:
    """Write the keys of `model`, whose layers differ where `counts` do.

    Raises:
        ArchitectureError, CheckpointError: config.json says what no key can.
    """
    uneven = is_uneven(counts)
    embedding = model.outside[Role.EMBEDDING].shape
    writer.add_name(Path(model.checkpoint.path).name)
    writer.add_file_type(file_type(wanted))
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(embedding[0])
    writer.add_embedding_length(embedding[1])
    writer.add_block_count(len(model.layers))
    for space, method in _LENGTHS.items():
        getattr(writer, method)(counts[space] if uneven else counts[space][0])
    # Stated: after pruning it is no longer embedding_length / head_count.
    head_dim = model.head_dim or 0
    for add in (writer.add_key_length, writer.add_value_length, writer.add_rope_dimension_count):
        add(head_dim)
    writer.add_context_length(int(_number(model, "max_position_embeddings", 2048)))
    writer.add_layer_norm_rms_eps(float(_number(model, "rms_norm_eps", 1e-6)))
    add_rope(writer, model.checkpoint)


def _number(model: Model, key: str, default: float) -> Any:
    value = model.checkpoint.config.get(key, default)
    if type(value) not in (int, float) or not 0 < value <= MOST:
        raise CheckpointError(model.checkpoint.path, f"config.json: {key} is {value!r}")
    return value


def is_uneven(counts: Mapping[str, list[int]]) -> bool:
    """Whether layers differ."""
    return any(len(set(each)) > 1 for each in counts.values())


def _counts(found: Layout, space: str) -> list[int]:
    """Units of `space` in each layer."""
    counts = []
    for layer in found.model.layers:
        units = found.units(layer, space)
        if units is None:
            where = found.model.checkpoint.path
            raise CheckpointError(where, f"layer {layer} has no whole number of {space}")
        counts.append(units)
    return counts
