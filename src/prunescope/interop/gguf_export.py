"""How does a pruned Llama become one GGUF file for llama.cpp? Streamed, one tensor at a time.

Layers of one shape make the architecture `llama`; layers that differ make `deci`, the one that
llama.cpp loads with a number of heads, KV heads and channels for each layer
(https://github.com/ggml-org/llama.cpp/blob/master/src/models/deci.cpp; keys as in its
conversion of DeciLMForCausalLM). Both compute the same network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.analysis.axes import Layout, layout
from prunescope.architecture import Model, Role, describe
from prunescope.architecture.row_order import pairs_from_halves
from prunescope.atomic import replacing
from prunescope.checkpoint import TensorInfo, open_checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import ArchitectureError, CheckpointError, PrunescopeError
from prunescope.extras import require
from prunescope.interop.agreement import check_sizes
from prunescope.interop.formats import GgufType
from prunescope.interop.from_deci import as_llama
from prunescope.interop.gguf_keys import add_config, counts_of, is_uneven
from prunescope.interop.gguf_rope import rope_factors
from prunescope.interop.gguf_types import (
    as_float32,
    encoded,
    stored_type,
)
from prunescope.interop.gguf_vocab import add_vocabulary
from prunescope.steps import Progress, silent

if TYPE_CHECKING:
    import gguf
    import numpy as np
else:
    gguf = require("gguf", "gguf")
    np = require("numpy", "gguf")

_MODEL_TYPES = ("llama", "mistral")
_PERMUTED = {Role.Q: "heads", Role.K: "kv_heads"}
ROPE_FACTORS = "rope_freqs.weight"


@dataclass(frozen=True, slots=True)
class Exported:
    """One GGUF file.

    Attributes:
        architecture: `llama`, or `deci` where layers differ.
        tensors: how many, and the bytes of their data.
        types: GGML type → how many tensors have it.
    """

    architecture: str
    tensors: int
    nbytes: int
    types: Mapping[str, int]


def export_gguf(
    source: str | Path,
    target: Path,
    wanted: GgufType = "f16",
    tokenizer_pre: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Exported:
    """Write the model folder `source` as the GGUF file `target`, whole or not at all.

    Args:
        source: a Llama or Mistral with config.json and tokenizer.json beside its weights.
        wanted: the type of its matrices; vectors are float32 (see `gguf_types.stored_type`).
        tokenizer_pre: llama.cpp's name of how the tokenizer splits text, where it is not known.
        overwrite: replace a `target` that is there.
        progress: called with the number of steps; yields what counts one of them off.

    Raises:
        ArchitectureError: another family, or a variant that llama.cpp computes otherwise.
        CheckpointError: tensors that disagree, are missing, or cannot be read.
        PrunescopeError: no tokenizer, or `target` cannot be written.
    """
    if target.is_dir():
        raise PrunescopeError(f"{target}: is a folder, a .gguf file is to be written")
    if target.exists() and not overwrite:
        raise PrunescopeError(f"{target}: is there already; --overwrite replaces it")
    checkpoint = open_checkpoint(source)
    if checkpoint.format == "GGUF":
        raise CheckpointError(checkpoint.path, "is GGUF already")
    # Of nemotron-nas what is a Llama: how its layers differ, its tensors tell.
    model = describe(replace(checkpoint, config=as_llama(checkpoint.config, checkpoint.path)))
    home = model.checkpoint.home.local
    if home is None:
        raise CheckpointError(model.checkpoint.path, "is remote: download it to export it")
    _check(model)
    found = layout(model)
    counts = counts_of(found)
    architecture = "deci" if is_uneven(counts) else "llama"
    writer = gguf.GGUFWriter(None, architecture)
    add_config(writer, model, counts, wanted)
    add_vocabulary(writer, home, model.outside[Role.EMBEDDING].shape[0], tokenizer_pre)
    factors = rope_factors(model.checkpoint)
    tensors = list(_named(model, found))
    types: dict[str, int] = {}
    nbytes = 0
    for name, info, _ in tensors:
        kind = stored_type(info.shape, wanted)
        size = _nbytes(info.shape, kind)
        writer.add_tensor_info(name, info.shape, np.dtype(np.float32), size, kind)
        types[kind.name] = types.get(kind.name, 0) + 1
        nbytes += size
    if factors is not None:
        shape, size = factors.shape, factors.nbytes
        f32 = gguf.GGMLQuantizationType.F32
        writer.add_tensor_info(ROPE_FACTORS, shape, factors.dtype, size, f32)
        types["F32"] = types.get("F32", 0) + 1
        nbytes += size
    with replacing(target) as temporary, WeightMap() as weights, progress(len(tensors)) as tick:
        try:
            writer.write_header_to_file(temporary)
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for _, info, heads in tensors:
                values = as_float32(weights, info)
                if heads:
                    values = permute(values, heads)
                kind = stored_type(info.shape, wanted)
                writer.write_tensor_data(encoded(np.ascontiguousarray(values), kind))
                weights.release()
                tick()
            if factors is not None:
                writer.write_tensor_data(factors)
        finally:
            writer.close()
    return Exported(architecture, sum(types.values()), nbytes, types)


def permute(
    rows: np.ndarray[Any, np.dtype[np.float32]], heads: int
) -> np.ndarray[Any, np.dtype[np.float32]]:
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


def _check(model: Model) -> None:
    config, where = model.checkpoint.config, model.checkpoint.path
    kind = config.get("model_type")
    if kind not in _MODEL_TYPES or model.family.gguf is None:
        raise ArchitectureError(
            f"{where}: GGUF export knows model_type {' and '.join(_MODEL_TYPES)}, not {kind!r}: "
            "use llama.cpp's convert_hf_to_gguf.py, where layers differ in shape on what --uniform "
            "has padded"
        )
    if config.get("hidden_act", "silu") != "silu":
        raise ArchitectureError(f"{where}: llama.cpp computes silu, not {config['hidden_act']!r}")
    if not model.head_dim or model.head_dim % 2:
        raise ArchitectureError(f"{where}: config.json does not give an even head_dim")
    check_sizes(model)
    wanted = {name for name in model.family.layer if name not in model.family.optional}
    for layer in model.layers:
        have = {t.name for module in model.layers[layer].values() for t in module.tensors}
        for name in sorted(wanted):
            full = f"{model.family.layer_prefix}{layer}.{name}"
            if full not in have:
                raise CheckpointError(where, f"tensor {full!r} is missing")
    for role in (Role.EMBEDDING, Role.FINAL_NORM):
        if role not in model.outside:
            raise CheckpointError(where, f"has no {role.title.lower()}")
    if Role.HEAD not in model.outside and config.get("tie_word_embeddings") is False:
        raise CheckpointError(where, "has no output head, and config.json ties none")


def _named(model: Model, found: Layout) -> Iterator[tuple[str, TensorInfo, int]]:
    """llama.cpp's name of each tensor, and the heads by which its rows are permuted (or 0)."""
    names = model.family.gguf
    assert names is not None
    outside = {ours: theirs for theirs, ours in names.model.items()}
    inside = {ours: theirs for theirs, ours in names.layer.items()}
    for number, layer in enumerate(model.layers):
        for module in model.layers[layer].values():
            if module.role is Role.BUFFER:
                continue
            heads = found.units(layer, _PERMUTED[module.role]) if module.role in _PERMUTED else 0
            for tensor in module.tensors:
                place = model.family.place(tensor.name)
                assert place is not None
                yield f"{names.layer_prefix}{number}.{inside[place[1]]}", tensor, heads or 0
    for module in model.outside.values():
        for tensor in module.tensors:
            # A tied head is the embedding: llama.cpp takes that where there is no head.
            if not (module.role is Role.HEAD and tensor.shared_with is not None):
                yield outside[tensor.name], tensor, 0


def _nbytes(shape: tuple[int, ...], kind: gguf.GGMLQuantizationType) -> int:
    block, size = gguf.GGML_QUANT_SIZES[kind]
    return math.prod(shape) // block * size
