"""What does torchao call its weights, and the parts of them? In pickles and in safetensors alike.

https://github.com/pytorch/ao, torchao/quantization/quantize_/workflows and
torchao/prototype/safetensors (`flatten_tensor_state_dict`): of `X.weight` the attribute `qdata` is
`X._weight_qdata`.
"""

from __future__ import annotations

_PREFIX = "torchao-"
# Of classes whose numbers have one width, whatever they are packed in.
_ENCODINGS = {
    "Int4Tensor": "INT4",
    "Int4PlainInt32Tensor": "INT4",
    "Int4PreshuffledTensor": "INT4",
    "Int4TilePackedTo4dTensor": "INT4",
    "Int8Tensor": "INT8",
    "Float8Tensor": "FP8",
    "NF4Tensor": "NF4",
    "NVFP4Tensor": "NVFP4",
    "MXFP8": "MXFP8",
    "MXFP4": "MXFP4",
}
_MAX_NAME = 48
_WIDTHS = frozenset("12345678")


def part_name(weight: str, attribute: str) -> str:
    """What the tensor `attribute` of `weight` is called where it is stored by itself."""
    module, dot, leaf = weight.rpartition(".")
    return f"{module}{dot}_{leaf}_{attribute}"


def encoding(kind: str, data: str, bits: int | None = None) -> str:
    """The name of how the class `kind` encodes a weight.

    Args:
        data: dtype of the largest tensor that it is made of.
        bits: of an integer, where something says so.
    """
    name = _ENCODINGS.get(kind)
    if name is None and data.startswith("F8_"):
        name = "FP8"
    if name is None and bits is not None:
        name = f"INT{bits}"
    if name is None:
        name = "INT8" if data == "I8" else kind[:_MAX_NAME]
    return _PREFIX + name


def integer_bits(dtype: object) -> int | None:
    """How many bits torch's integer type `dtype` has (`int4`, `uint8`); None of another."""
    name = dtype if isinstance(dtype, str) else ""
    digits = name.removeprefix("u").removeprefix("int")
    return int(digits) if "int" in name and digits in _WIDTHS else None
