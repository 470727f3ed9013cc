"""Which storage does a persistent id of torch name, and what does it say of it?

torch keeps a tensor's bytes outside the pickle, in a storage that the pickle names by
`('storage', type, key, device, elements)`, with a sixth entry before torch 1.6
(https://github.com/pytorch/pytorch/blob/main/torch/serialization.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeGuard

from prunescope.checkpoint.dtypes import DTYPE_BITS, TORCH_STORAGES
from prunescope.checkpoint.pickle_values import Global, Persistent

# Bytes of an element; the tensors themselves are not read.
_QUANTIZED = {
    "QInt8Storage": 1,
    "QUInt8Storage": 1,
    "QInt32Storage": 4,
    "QUInt4x2Storage": 1,
    "QUInt2x4Storage": 1,
}


# torch numbers storages, or before torch 1.6 names them by an address.
_MAX_KEY = 256
# As torch's own.
MAX_AXES = 64


@dataclass(frozen=True, slots=True)
class StorageId:
    """What a persistent id says of a storage.

    Attributes:
        key: its name in the file.
        dtype: of its elements, in safetensors' names; None of quantized and unknown ones.
        itemsize: bytes of an element; None where that is not known.
        elements: how many it has.
        view: of a view of another storage (torch < 0.4): where it starts and its length, both in
            elements; `key` is then the other's.
    """

    key: str
    dtype: str | None
    itemsize: int | None
    elements: int
    view: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a storage's bytes lie: `offset` counts as in `TensorInfo`; and their CRC-32, 0 where
    that is not stated."""

    offset: int
    nbytes: int
    record: int | None = None
    crc: int = 0


# Where a storage lies; the second argument is the tensor to name in an error.
Locate = Callable[[StorageId, str], Place]


def storage_id(value: Any) -> StorageId | None:
    """What the persistent id `value` says; None where it is no storage's or malformed."""
    key = value.key if isinstance(value, Persistent) else None
    if not isinstance(key, tuple) or len(key) < 5 or key[0] != "storage":
        return None
    _, kind, name, _, elements, *view = key
    if not isinstance(kind, Global) or not isinstance(name, str) or not is_count(elements):
        return None
    if len(name) > _MAX_KEY:
        return None
    dtype = TORCH_STORAGES.get(kind.name)
    itemsize = DTYPE_BITS[dtype] // 8 if dtype else _QUANTIZED.get(kind.name)
    if not view or view[0] is None:
        return StorageId(name, dtype, itemsize, elements)
    part = view[0]
    if not isinstance(part, tuple) or len(part) != 3 or not all(map(is_count, part[1:])):
        return None
    return StorageId(name, dtype, itemsize, elements, (part[1], part[2]))


def is_shape(value: Any) -> TypeGuard[tuple[int, ...]]:
    """Whether `value` is a shape, or strides, that a tensor of torch could have."""
    return isinstance(value, tuple) and len(value) <= MAX_AXES and all(map(is_count, value))


def is_count(value: Any) -> TypeGuard[int]:
    """Whether `value` is a number of elements that torch could have: an int64, not negative."""
    return type(value) is int and 0 <= value < 1 << 63
