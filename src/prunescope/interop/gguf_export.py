"""How does a pruned model become one GGUF file for llama.cpp? Streamed, one tensor at a time.

Where layers differ, a Llama, or what computes as one does, becomes a `deci`: the architecture that
llama.cpp loads with a number of heads, KV heads and channels for each layer
(https://github.com/ggml-org/llama.cpp/blob/master/src/models/deci.cpp; keys as in its
conversion of DeciLMForCausalLM). Both compute the same network.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.analysis.axes import layout
from prunescope.analysis.llama_cpp_config import rope_base
from prunescope.analysis.llama_cpp_fit import rotated_rows
from prunescope.architecture import Role, describe
from prunescope.architecture.from_deci import as_llama
from prunescope.architecture.llama_cpp import LlamaCpp
from prunescope.atomic import replacing
from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError, PrunescopeError
from prunescope.extras import require
from prunescope.interop.formats import GgufType
from prunescope.interop.gguf_checks import architecture_of
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
    architecture, is_uneven = architecture_of(found)
    told = model.family.llama_cpp or LlamaCpp()
    writer = gguf.GGUFWriter(None, architecture)
    add_config(writer, found, told, is_uneven, wanted)
    base = rope_base(told)
    add_rope(writer, model.checkpoint.config, base)
    add_vocabulary(writer, home, model.outside[Role.EMBEDDING].shape[0], tokenizer_pre)
    factors = rope_factors(model.checkpoint.config, rotated_rows(found) or 0, base)
    tensors = list(tensors_of(found, architecture))
    f32 = gguf.GGMLQuantizationType.F32
    kinds = {
        each.name: f32 if each.is_routing else stored_type(each.shape, wanted) for each in tensors
    }
    kinds |= dict.fromkeys(factors, f32)
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
                _write(writer, (encoded(v, kinds[tensor.name]) for v in tensor.values(weights)))
                weights.release()
                tick()
            for values in factors.values():
                _write(writer, (values,))
        finally:
            writer.close()
    types = Counter(kind.name for kind in kinds.values())
    return Exported(architecture, len(shapes), sum(sizes.values()), dict(types))


def _write(writer: gguf.GGUFWriter, pieces: Iterable[np.ndarray[Any, Any]]) -> None:
    """The data of the next tensor, a piece behind the other; the library would want it whole."""
    assert writer.fout is not None
    (out,) = writer.fout
    writer.write_padding(out, out.tell())
    for piece in pieces:
        piece.astype(piece.dtype.newbyteorder("<"), copy=False).tofile(out)
    writer.write_padding(out, out.tell())


def _nbytes(shape: tuple[int, ...], kind: gguf.GGMLQuantizationType) -> int:
    block, size = gguf.GGML_QUANT_SIZES[kind]
    return math.prod(shape) // block * size
