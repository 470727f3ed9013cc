"""What does a GGUF file say of a model? Its config.json in llama.cpp's keys, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prunescope.analysis.axes import Layout
from prunescope.analysis.llama_cpp_config import CONTEXT, EPSILON, numbers
from prunescope.analysis.llama_cpp_fit import rotated_rows
from prunescope.architecture import Role
from prunescope.architecture.llama_cpp import LlamaCpp
from prunescope.architecture.windows import slides
from prunescope.errors import CheckpointError
from prunescope.extras import require
from prunescope.interop.formats import GgufType
from prunescope.interop.gguf_types import file_type

if TYPE_CHECKING:
    import gguf
else:
    gguf = require("gguf", "gguf")

_WINDOW = "attention.sliding_window"


def add_config(
    writer: gguf.GGUFWriter, found: Layout, told: LlamaCpp, is_uneven: bool, wanted: GgufType
) -> None:
    """Write the keys of a model, of each layer its own where `is_uneven`.

    Raises:
        CheckpointError: layers have no whole number of something.
    """
    model = found.model
    embedding = model.outside[Role.EMBEDDING].shape
    writer.add_name(Path(model.checkpoint.path).name)
    writer.add_file_type(file_type(wanted))
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(embedding[0])
    writer.add_embedding_length(embedding[1])
    writer.add_block_count(len(model.layers))
    for space, key in told.lengths.items():
        counts = _counts(found, space)
        if is_uneven:
            writer.add_array(f"{writer.arch}.{key}", counts)
        else:
            writer.add_uint32(f"{writer.arch}.{key}", counts[0])
    # Stated: after pruning it is no longer embedding_length / head_count.
    writer.add_key_length(model.head_dim or 0)
    writer.add_value_length(model.head_dim or 0)
    writer.add_rope_dimension_count(rotated_rows(found) or 0)
    stated = numbers(model.checkpoint.config, told)
    context = int(stated[CONTEXT])
    writer.add_context_length(context)
    writer.add_layer_norm_rms_eps(float(stated[EPSILON]))
    integers = {key: int(stated[name]) for name, key in told.integers.items()}
    if told.has_window:
        windows = [slides(model.config, place) for place in range(len(model.layers))]
        if not any(windows):
            # Without one its loader aborts: those as long as any text leave nothing out.
            windows, integers[_WINDOW] = [True] * len(windows), context
        writer.add_array(f"{writer.arch}.attention.sliding_window_pattern", windows)
    for key, value in integers.items():
        writer.add_uint32(f"{writer.arch}.{key}", value)
    for name, key in told.floats.items():
        writer.add_float32(f"{writer.arch}.{key}", float(stated[name]))


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
