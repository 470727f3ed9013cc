"""How are torchao's weights laid out in safetensors? As its classes' tensors, each by itself.

https://github.com/pytorch/ao, torchao/prototype/safetensors/safetensors_support.py
(`flatten_tensor_state_dict`): the parts of `X.weight` are `X._weight_qdata`, `X._weight_scale`, …,
and the file's note `X.weight` is a JSON object with its class and what is no tensor. What qdata is
in each class: torchao/quantization/quantize_/workflows and torchao/prototype/mx_formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from prunescope.checkpoint.jsonfile import parse_object
from prunescope.checkpoint.quantized_module import Layout, Module
from prunescope.checkpoint.torchao_names import encoding, integer_bits

# Class → elements along the last axis in an element of qdata.
_PACKED = {
    "Int8Tensor": 1,
    "Float8Tensor": 1,
    "IntxUnpackedToInt8Tensor": 1,
    "Int4Tensor": 2,
    "Int4PreshuffledTensor": 2,
    "Int4PlainInt32Tensor": 8,
    "NVFP4Tensor": 2,
}
_TILED = "Int4TilePackedTo4dTensor"
# Tiles of it hold 8 rows of 128 columns; `in` is filled up to 1024.
_TILE_ROWS, _TILE_COLUMNS, _FILLED = 8, 128, 1024
_MAX_NOTE = 1 << 16
_MEMORY = 1 << 20


def torchao(module: Module) -> Layout | None:
    """A weight of one of the classes that torchao writes to safetensors."""
    if not module.stem.rpartition(".")[2].startswith("_"):
        return None
    data, note = module.marked, _note(module)
    kind, attributes = note.get("_type"), note.get("_data")
    if not isinstance(kind, str) or not isinstance(attributes, Mapping):
        return None
    shape = data.shape
    if kind == "MXTensor":
        kind, width = ("MXFP4", 2) if data.dtype == "U8" else ("MXFP8", 1)
    elif kind == _TILED:
        return _tiled(module, attributes)
    elif kind in _PACKED:
        width = _PACKED[kind]
    else:
        return None
    if not data.parameters or len(shape) < 2:
        module.refuse(f"has a qdata of shape {list(shape)}")
    layout = Layout((*shape[:-1], shape[-1] * width), encoding(kind, data.dtype, _bits(attributes)))
    stated = attributes.get("shape")
    if stated is not None and stated != list(layout.shape):
        module.check(False, data, f"weight of {stated!r}")
    return layout


def _note(module: Module) -> dict[str, Any]:
    text = module.notes.get(module.weight, "")
    if not text or len(text) > _MAX_NOTE:
        return {}
    return parse_object(text.encode(), module.marked.file, f"note {module.weight!r}", _MEMORY)


def _bits(attributes: Mapping[str, Any]) -> int | None:
    """Of an integer: `target_dtype` is `int4` where it is stored as an int8."""
    target = attributes.get("target_dtype")
    return integer_bits(target.get("_data")) if isinstance(target, Mapping) else None


def _tiled(module: Module, attributes: Mapping[str, Any]) -> Layout:
    stated, data = attributes.get("shape"), module.get("qdata", axes=4)
    if (
        not isinstance(stated, list)
        or len(stated) != 2
        or not all(type(n) is int and 0 < n < 1 << 31 for n in stated)
    ):
        module.refuse(f"is a {_TILED} of shape {stated!r}")
    rows, columns = stated
    layout = Layout((rows, columns), encoding(_TILED, data.dtype))
    tiles = ceil(rows / _TILE_ROWS), ceil(columns / _FILLED) * _FILLED // _TILE_COLUMNS
    module.check(data.shape[:2] == tiles and data.shape[2:] == (32, 4), data, layout)
    return layout
