"""How does a pruned model become one GGUF file for llama.cpp? Streamed, one tensor at a time.

Where layers differ, a Llama, or what computes as one does, becomes a `deci`: the architecture that
llama.cpp loads with a number of heads, KV heads and channels for each layer
(https://github.com/ggml-org/llama.cpp/blob/master/src/models/deci.cpp; keys as in its
conversion of DeciLMForCausalLM). Both compute the same network.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from prunescope.analysis.axes import Layout, layout
from prunescope.analysis.llama_cpp import fit, rotated_rows, table_of
from prunescope.architecture import Model, Role, describe, load_family
from prunescope.architecture.llama_cpp import LlamaCpp
from prunescope.architecture.tables import family_names
from prunescope.atomic import replacing
from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import ArchitectureError, CheckpointError, PrunescopeError, printable
from prunescope.extras import require
from prunescope.interop.agreement import check_sizes
from prunescope.interop.formats import GgufType
from prunescope.interop.from_deci import as_llama
from prunescope.interop.gguf_keys import add_config
from prunescope.interop.gguf_rope import add_rope, rope_factors
from prunescope.interop.gguf_tensors import tensors_of
from prunescope.interop.gguf_types import encoded, stored_type
from prunescope.interop.gguf_vocab import add_vocabulary
from prunescope.steps import Progress, silent

if TYPE_CHECKING:
    import gguf
    import numpy as np
else:
    gguf = require("gguf", "gguf")
    np = require("numpy", "gguf")


@dataclass(frozen=True, slots=True)
class Exported:
    """One GGUF file.

    Attributes:
        architecture: llama.cpp's.
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
        source: a model of a family whose table says how, with config.json and tokenizer.json beside
            its weights.
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
    found = layout(model)
    architecture, is_uneven = _checked(found)
    takes = table_of(model.family, architecture).llama_cpp or LlamaCpp()
    told = model.family.llama_cpp or takes
    writer = gguf.GGUFWriter(None, architecture)
    add_config(writer, found, told, is_uneven, wanted)
    add_rope(writer, model.checkpoint, takes.rope_factors)
    add_vocabulary(writer, home, model.outside[Role.EMBEDDING].shape[0], tokenizer_pre)
    factors = rope_factors(model.checkpoint, rotated_rows(found) or 0)
    tensors = list(tensors_of(found, architecture))
    kinds = {tensor.name: stored_type(tensor.shape, wanted) for tensor in tensors}
    kinds |= dict.fromkeys(factors, gguf.GGMLQuantizationType.F32)
    shapes = {each.name: each.shape for each in tensors}
    shapes |= {name: values.shape for name, values in factors.items()}
    sizes = {name: _nbytes(shape, kinds[name]) for name, shape in shapes.items()}
    for name, shape in shapes.items():
        writer.add_tensor_info(name, shape, np.dtype(np.float32), sizes[name], kinds[name])
    with replacing(target) as temporary, WeightMap() as weights, progress(len(tensors)) as tick:
        try:
            writer.write_header_to_file(temporary)
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for tensor in tensors:
                values = tensor.values(weights)
                writer.write_tensor_data(encoded(values, kinds[tensor.name]))
                weights.release()
                tick()
            for values in factors.values():
                writer.write_tensor_data(values)
        finally:
            writer.close()
    types = Counter(kind.name for kind in kinds.values())
    return Exported(architecture, len(shapes), sum(sizes.values()), dict(types))


def _checked(found: Layout) -> tuple[str, bool]:
    """The architecture that is written, and whether layers differ.

    Raises:
        ArchitectureError, CheckpointError: no architecture computes what the model does, or it is
            not whole.
    """
    model = found.model
    config, where = model.checkpoint.config, model.checkpoint.path
    fitting, told = fit(found), model.family.llama_cpp
    if fitting is None or told is None or not config.get("model_type"):
        known = [name for name in family_names() if _is_written(name)]
        shown = printable(repr(config.get("model_type")), 40)
        raise ArchitectureError(
            f"{where}: GGUF export knows the families {', '.join(known)}, not model_type {shown}: "
            "use llama.cpp's convert_hf_to_gguf.py, where layers differ in shape on what --uniform "
            "has padded"
        )
    for key, values in told.wants.items():
        if config.get(key) not in values:
            shown = printable(repr(config[key]), 40)
            raise ArchitectureError(
                f"{where}: llama.cpp computes with {key} {values[0]!r}, not {shown}"
            )
    if not model.head_dim or model.head_dim % 2:
        raise ArchitectureError(f"{where}: config.json does not give an even head_dim")
    if rotated_rows(found) is None:
        cause = "config.json does not tell how many rows are rotated"
        raise ArchitectureError(f"{where}: {cause} (partial_rotary_factor)")
    check_sizes(model)
    _check_whole(model)
    if fitting.architecture is None and fitting.is_uneven:
        raise ArchitectureError(
            f"{where}: layers differ, and llama.cpp's {fitting.usual} takes one shape for all: "
            "convert to hf with --uniform first, and the result to gguf"
        )
    if fitting.architecture is None:
        raise ArchitectureError(
            f"{where}: llama.cpp's {fitting.usual} wants heads that fill the hidden size, where "
            "they are rotated in part"
        )
    return fitting.architecture, fitting.is_uneven


def _is_written(name: str) -> bool:
    told = load_family(name).llama_cpp
    return told is not None and bool(told.architectures)


def _check_whole(model: Model) -> None:
    where = model.checkpoint.path
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
    if Role.HEAD not in model.outside and model.config.get("tie_word_embeddings") is False:
        raise CheckpointError(where, "has no output head, and config.json ties none")


def _nbytes(shape: tuple[int, ...], kind: gguf.GGMLQuantizationType) -> int:
    block, size = gguf.GGML_QUANT_SIZES[kind]
    return math.prod(shape) // block * size
