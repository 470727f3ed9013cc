"""Which numbers do stored bytes stand for? Float32, from every type whose rows stand alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from typing import TYPE_CHECKING, Any

from prunescope.checkpoint import TensorInfo
from prunescope.checkpoint.ggml_types import GGML_TYPES
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError, first_line
from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:
    np = require("numpy", "weights")

# Stored words: rows of them, with nothing between.
WORDS = {"F64": "u8", "F32": "u4", "F16": "u2", "BF16": "u2", "I8": "u1"}
# Exponent bits, its bias, and whether the top exponent is for infinity and NaN alone.
# https://onnx.ai/onnx/technical/float8.html
_FLOAT8 = {
    "F8_E4M3": (4, 7, False),
    "F8_E5M2": (5, 15, True),
    "F8_E4M3FNUZ": (4, 8, False),
    "F8_E5M2FNUZ": (5, 16, False),
}
WORDS |= dict.fromkeys(_FLOAT8, "u1")
# Of ggml's, all but these are blocks of elements with scales.
_BLOCKS = {kind.name for kind in GGML_TYPES.values() if kind.elements > 1}
# Rows, as a slice or as indices → their values.
Decode = Callable[[Any], "Array"]


def values_of(words: Array, dtype: str) -> Array:
    """float32 of stored words of `dtype`, a key of `WORDS`; same shape."""
    if dtype == "BF16":
        return (words.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if dtype in _FLOAT8:
        return _float8_table(dtype)[words]
    stored = {"F32": np.float32, "F16": np.float16, "F64": np.float64, "I8": np.int8}[dtype]
    with np.errstate(over="ignore"):
        return words.view(stored).astype(np.float32, copy=False)


def _float8_table(dtype: str) -> Array:
    """The 256 values of an 8-bit float."""
    exponent_bits, bias, has_infinity = _FLOAT8[dtype]
    mantissa_bits = 7 - exponent_bits
    code = np.arange(256)
    exponent = code >> mantissa_bits & (1 << exponent_bits) - 1
    mantissa = code & (1 << mantissa_bits) - 1
    fraction = mantissa / (1 << mantissa_bits) + (exponent > 0)
    table = np.where(code > 127, -1.0, 1.0) * fraction * 2.0 ** (np.maximum(exponent, 1) - bias)
    if has_infinity:
        table[exponent == exponent.max()] = np.nan
    elif dtype.endswith("FNUZ"):
        table[0x80] = np.nan
    else:
        table[[0x7F, 0xFF]] = np.nan
    found: Array = table.astype(np.float32)
    return found


def quantised(weights: WeightMap, info: TensorInfo, config: Mapping[str, Any]) -> Decode:
    """What reads rows of a tensor that is not stored as plain words.

    8-bit weights times their scales (of the tensor, a row, or a block: `weight_scale`,
    `weight_scale_inv`, LLM.int8()'s `SCB`), and ggml's blocks.

    Raises:
        CheckpointError: another encoding, or parts that are not those of these.
        MissingExtra: ggml's blocks without the gguf package.
    """
    if info.dtype in _BLOCKS and not info.parts:
        return _ggml_blocks(weights, info)
    if info.dtype not in ("INT8", "FP8", "bnb-INT8"):
        weights.view(info)
        raise CheckpointError(info.file, f"tensor {info.name!r}: {info.dtype} cannot be compared")
    parts = {part.name.removeprefix(info.name.removesuffix("weight")): part for part in info.parts}
    name = next((n for n in ("weight_scale", "weight_scale_inv", "SCB") if n in parts), "")
    # Whatever else the weight has (zero points, an order of groups), its values depend on.
    unknown = {p for p in parts if p.startswith("weight_")} - {name, "weight_format"}
    data = parts.get("weight")
    if unknown or not name or data is None:
        cause = f"{info.dtype} with {', '.join(sorted(parts))} cannot be compared"
        raise CheckpointError(info.file, f"tensor {info.name!r}: {cause}")
    words, scale = plain_words(weights, data), _scales(weights, parts[name], info, config)
    # The largest of a row is 127 (bitsandbytes, functional.py, int8_vectorwise_quant).
    unit = np.float32(1 / 127 if name == "SCB" else 1)
    return lambda rows: values_of(words[rows], data.dtype) * (scale(rows) * unit)


def plain_words(weights: WeightMap, info: TensorInfo) -> Array:
    """A tensor's words over the map, [rows, columns]; one axis becomes rows of one word.

    Raises:
        CheckpointError: the file is truncated or remote, or the type is not in `WORDS`.
    """
    if info.dtype not in WORDS:
        raise CheckpointError(info.file, f"tensor {info.name!r}: {info.dtype} cannot be compared")
    if len(info.shape) > 2:
        raise CheckpointError(info.file, f"tensor {info.name!r} has {len(info.shape)} axes")
    kind = np.dtype(f"<{WORDS[info.dtype]}")
    shape = (*info.shape, 1, 1)[:2]
    if not info.parameters:
        return np.empty(shape, kind)
    flat = np.frombuffer(weights.view(info), kind)
    if info.strides is None:
        return flat.reshape(shape)
    steps = [step * kind.itemsize for step in (*info.strides, 1, 1)[:2]]
    return np.lib.stride_tricks.as_strided(flat, shape, steps, writeable=False)


def _scales(
    weights: WeightMap, scale: TensorInfo, info: TensorInfo, config: Mapping[str, Any]
) -> Decode:
    """What gives the scales of rows of `info`: float32, as many columns as it has, or one."""
    found = values_of(plain_words(weights, scale), scale.dtype)
    rows, columns = (*info.shape, 1)[:2]
    height, width = (ceil(n / s) for n, s in zip((rows, columns), found.shape, strict=True))
    settings = config.get("quantization_config")
    stated = settings.get("weight_block_size") if isinstance(settings, Mapping) else None
    if isinstance(stated, list) and len(stated) == 2 and found.size > max(found.shape):
        # Checked against the shapes when the headers were read.
        height, width = stated
    row_of = np.arange(rows) // height

    def scales(rows: Any) -> Array:
        blocks: Array = found[row_of[rows]]
        if blocks.shape[1] == 1:
            return blocks
        repeated: Array = np.repeat(blocks, width, axis=1)
        return repeated[:, :columns]

    return scales


def _ggml_blocks(weights: WeightMap, info: TensorInfo) -> Decode:
    gguf = require("gguf", "gguf")
    kind = gguf.GGMLQuantizationType.__members__.get(info.dtype)
    if kind is None:
        cause = f"{info.dtype} is newer than the installed gguf"
        raise CheckpointError(info.file, f"tensor {info.name!r}: {cause}")
    shape = (*info.shape, 1)[:2]
    if not info.parameters:
        nothing = np.empty(shape, np.float32)
        return lambda rows: nothing[rows]
    is_matrix = len(info.shape) == 2
    raw = np.frombuffer(weights.view(info), np.uint8).reshape(shape[0] if is_matrix else 1, -1)

    def decode(rows: Any) -> Array:
        try:
            # Of a vector, whose elements are rows here, blocks hold many.
            values: Array = gguf.dequantize(raw[rows] if is_matrix else raw, kind)
        except Exception as err:  # gguf raises what numpy does
            cause = f"tensor {info.name!r}: {first_line(err)}"
            raise CheckpointError(info.file, cause) from None
        values = values.astype(np.float32, copy=False)
        return values if is_matrix else values.reshape(shape)[rows]

    return decode
