"""How are a tensor's bytes stored in a GGUF file? As float32, float16, bfloat16 or Q8_0.

Q8_0 is the `gguf` library's own quantisation: blocks of 32 weights with one float16 scale
(https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/quants.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prunescope.checkpoint import TensorInfo
from prunescope.checkpoint.runs import runs
from prunescope.checkpoint.weights import WeightMap
from prunescope.extras import require
from prunescope.interop.formats import GgufType

if TYPE_CHECKING:
    import gguf
    import numpy as np
else:
    gguf = require("gguf", "gguf")
    np = require("numpy", "gguf")

# A row of Q8_0 is whole blocks.
BLOCK = 32
_NATIVE = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
_FILE_TYPES = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}


def file_type(wanted: GgufType) -> int:
    """`general.file_type` of a file most of whose weights are `wanted`."""
    return int(gguf.LlamaFileType[_FILE_TYPES[wanted]])


def stored_type(shape: tuple[int, ...], wanted: GgufType) -> gguf.GGMLQuantizationType:
    """What a tensor of `shape` is stored as where `wanted` is asked for.

    Vectors (norms, biases) are float32, as llama.cpp computes with no other; a matrix whose rows
    are no whole number of blocks is float16 in the place of Q8_0, as llama.cpp's own converter
    has it.
    """
    if len(shape) < 2:
        return gguf.GGMLQuantizationType.F32
    if wanted == "q8_0" and shape[-1] % BLOCK:
        return gguf.GGMLQuantizationType.F16
    return gguf.GGMLQuantizationType[wanted.upper()]


def as_float32(weights: WeightMap, tensor: TensorInfo) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The values of `tensor`, of a type in `llama_cpp_config.READ`: its shape, float32."""
    data = bytearray(tensor.nbytes)
    if tensor.strides is not None or tensor.parts:
        data = bytearray(tensor.parameters * _width(tensor))
    for offset, run in runs(weights, tensor):
        data[offset : offset + len(run)] = run
    if tensor.dtype == "BF16":
        # The upper half of a float32.
        halves = np.frombuffer(data, "<u2").astype(np.uint32)
        return (halves << 16).view(np.float32).reshape(tensor.shape)
    native = np.frombuffer(data, _NATIVE[tensor.dtype])
    return native.astype(np.float32).reshape(tensor.shape)


def encoded(
    values: np.ndarray[Any, np.dtype[np.float32]], stored: gguf.GGMLQuantizationType
) -> np.ndarray[Any, Any]:
    """`values` as the bytes or floats that the `gguf` library's writer takes for `stored`."""
    if stored == gguf.GGMLQuantizationType.F32:
        return values
    if stored == gguf.GGMLQuantizationType.F16:
        return values.astype(np.float16)
    found: np.ndarray[Any, Any] = gguf.quantize(values, stored)
    return found


def _width(tensor: TensorInfo) -> int:
    return {"F64": 8, "F32": 4}.get(tensor.dtype, 2)
