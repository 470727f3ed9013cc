"""Which tensors does a `torch.save` file (torch >= 1.6, a zip archive) hold?

The archive has one folder with `data.pkl`, a pickle in which each tensor is a call of
`torch._utils._rebuild_tensor_v2(storage, offset, size, stride, …)` and each storage a persistent
id `('storage', type, key, device, elements)`, and `data/<key>`, the storages' bytes
(https://github.com/pytorch/pytorch/blob/main/torch/serialization.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from prunescope.checkpoint.dtypes import TORCH_DTYPES, TORCH_STORAGES, bytes_of
from prunescope.checkpoint.pickle_machine import (
    Call,
    Dict,
    Global,
    Persistent,
    PickleError,
    interpret,
)
from prunescope.checkpoint.storage import File
from prunescope.checkpoint.types import Contents, TensorInfo
from prunescope.checkpoint.zip_directory import ZipRecord, read_directory, read_record
from prunescope.errors import CheckpointError

MAX_PICKLE = 64 << 20
_REBUILDERS = {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"}
_WRAPPERS = {"_rebuild_parameter", "_rebuild_parameter_with_state"}
_REBUILDING_MODULES = {"torch._utils", "torch._tensor"}


def read(file: File) -> Contents:
    """The tensors of the state dict in one file, in its order.

    Raises:
        CheckpointError: not a torch archive, malformed, or without a tensor at its top level.
    """
    root, records, folder = _opened(file)
    tensors = _tensors(root, records, folder, file)
    if not tensors:
        raise CheckpointError(file, "holds no state dict: no tensor at its top level")
    return Contents(tensors)


def read_tensor(file: File, name: str) -> TensorInfo:
    """The tensor in a file that `torch.save` wrote of nothing but one tensor; `name` names it.

    Raises:
        CheckpointError: as `read`, or the file holds something else.
    """
    root, records, folder = _opened(file)
    stored = _stored(root) if _is_tensor(root) else None
    if stored is None:
        raise CheckpointError(file, f"tensor {name!r} is not one this reader knows")
    return _locate(name, stored, records, folder, file)


def _opened(file: File) -> tuple[Any, dict[str, ZipRecord], str]:
    """What the archive's pickle describes, its records, and the folder that those lie in."""
    records = read_directory(file)
    pickles = [r for r in records.values() if r.name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise CheckpointError(file, "a zip archive, but not one torch.save wrote")
    raw = read_record(file, pickles[0], MAX_PICKLE)
    try:
        root = interpret(raw).root
    except PickleError as err:
        raise CheckpointError(file, f"data.pkl: {err}") from None
    return root, records, pickles[0].name.removesuffix("data.pkl")


def _tensors(
    root: Any, records: Mapping[str, ZipRecord], folder: str, file: File
) -> dict[str, TensorInfo]:
    found: dict[str, TensorInfo] = {}
    owners: dict[tuple[int, int, tuple[int, ...]], str] = {}
    for name, value in _entries(root):
        if not _is_tensor(value):
            continue
        stored = _stored(value)
        if stored is None:
            # Left out, it would be missing from every count.
            kind = value.function.name
            raise CheckpointError(file, f"tensor {name!r} ({kind}) is not one this reader knows")
        info = _locate(name, stored, records, folder, file)
        region = (info.record or 0, info.offset, info.shape)
        owner = owners.setdefault(region, name)
        if owner != name and info.nbytes:
            info = replace(info, shared_with=owner)
        found[name] = info
    return found


def _entries(root: Any) -> Iterator[tuple[str, Any]]:
    """String keys and values of a dict, or of an OrderedDict made by a call."""
    if isinstance(root, Dict | Call):
        yield from Dict(root.pairs).by_name().items()


@dataclass(frozen=True, slots=True)
class _Stored:
    dtype: str
    key: str
    storage_elements: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _is_tensor(value: Any) -> bool:
    """Whether `value` is a call by which torch makes a tensor of any kind."""
    return (
        isinstance(value, Call)
        and isinstance(value.function, Global)
        and value.function.module in _REBUILDING_MODULES
        and value.function.name.startswith("_rebuild")
    )


def _stored(value: Call) -> _Stored | None:
    """The storage slice a rebuild call describes; None where it is malformed or of another kind."""
    if value.function.name in _WRAPPERS and isinstance(value.arguments, tuple) and value.arguments:
        # A wrapper holds a tensor, never another wrapper: one step, no recursion.
        value = value.arguments[0]
        if not _is_tensor(value):
            return None
    arguments = value.arguments
    if value.function.name not in _REBUILDERS or not isinstance(arguments, tuple):
        return None
    if len(arguments) < 4:
        return None
    storage, offset, shape, strides = arguments[:4]
    key = storage.key if isinstance(storage, Persistent) else None
    if not isinstance(key, tuple) or len(key) < 5 or not isinstance(key[1], Global):
        return None
    dtype = TORCH_STORAGES.get(key[1].name)
    if value.function.name == "_rebuild_tensor_v3" and len(arguments) > 6:
        named = arguments[6]
        dtype = TORCH_DTYPES.get(named.name) if isinstance(named, Global) else None
    if dtype is None or not isinstance(key[2], str) or not _is_count(key[4]):
        return None
    if not _is_count(offset) or not _is_shape(shape) or not _is_shape(strides):
        return None
    if len(shape) != len(strides):
        return None
    return _Stored(dtype, key[2], key[4], offset, shape, strides)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) <= 64 and all(_is_count(n) for n in value)


def _locate(
    name: str, stored: _Stored, records: Mapping[str, ZipRecord], folder: str, file: File
) -> TensorInfo:
    record = records.get(f"{folder}data/{stored.key}")
    if record is None:
        raise CheckpointError(file, f"tensor {name!r}: its storage {stored.key!r} is missing")
    empty = prod(stored.shape) == 0
    reach = sum((n - 1) * s for n, s in zip(stored.shape, stored.strides, strict=True))
    elements = 0 if empty else reach + 1
    # A view without elements may begin anywhere, past the end too.
    begin = bytes_of(stored.dtype, 0 if empty else stored.offset)
    nbytes = bytes_of(stored.dtype, elements)
    # torch's dtypes fill whole bytes.
    assert begin is not None
    assert nbytes is not None
    if begin + nbytes > record.size:
        raise CheckpointError(
            file,
            f"tensor {name!r} needs {begin + nbytes} bytes of storage {stored.key!r}, "
            f"which has {record.size}",
        )
    plain = empty or _is_contiguous(stored.shape, stored.strides)
    return TensorInfo(
        name,
        stored.shape,
        stored.dtype,
        file,
        begin,
        nbytes,
        record=record.header,
        strides=None if plain else stored.strides,
    )


def _is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    step = 1
    for n, stride in zip(reversed(shape), reversed(strides), strict=True):
        # A dimension of one element is never stepped over: torch leaves any stride there.
        if n != 1 and stride != step:
            return False
        step *= n
    return True
