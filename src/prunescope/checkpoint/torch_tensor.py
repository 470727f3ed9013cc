"""Which slice of a file's storages is a pickled torch tensor?

torch pickles a tensor as a call of one of its `_rebuild` functions, whose arguments name a storage
by a persistent id, and an offset, shape and strides in elements
(https://github.com/pytorch/pytorch/blob/main/torch/_utils.py and torch/_tensor.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from prunescope.checkpoint.dtypes import TORCH_DTYPES, bytes_of
from prunescope.checkpoint.pickle_values import Call, Dict, Global
from prunescope.checkpoint.storage import File
from prunescope.checkpoint.torch_storage import Place, StorageId, is_count, is_shape, storage_id
from prunescope.checkpoint.types import TensorInfo
from prunescope.errors import CheckpointError

_REBUILDERS = {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"}
# The tensor is the first argument of these …
_WRAPPERS = {"_rebuild_parameter", "_rebuild_parameter_with_state"}
_FROM_CPU = "_rebuild_device_tensor_from_cpu_tensor"
# … and these take a function, a class and the function's arguments.
_FROM_TYPE = {"_rebuild_from_type", "_rebuild_from_type_v2"}
_MODULES = {"torch._utils", "torch._tensor", "torch.tensor"}
# A parameter of a subclass that was moved from another device has three.
_MAX_WRAPPERS = 4
# Keys and values of what torch notes of a tensor: two pairs, and what a backend adds.
_MAX_METADATA = 64
_ODD = {
    "_rebuild_meta_tensor_no_storage": "is a meta tensor: it was saved without data",
    "_rebuild_sparse_tensor": "is sparse: save it dense",
    "_rebuild_qtensor": "is quantized by torch: save it dequantized",
    "_rebuild_nested_tensor": "is a nested tensor: save its parts",
    "_rebuild_device_tensor_from_numpy": "is a numpy array in the pickle: save it from the CPU",
    "_rebuild_xla_tensor": "is a numpy array in the pickle: save it from the CPU",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """The slice of a storage that a tensor is; offset, shape and strides in elements."""

    storage: StorageId
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def is_tensor(value: Any) -> bool:
    """Whether `value` is a call by which torch makes a tensor of any kind."""
    name = value.named if isinstance(value, Call) else None
    return name is not None and name.module in _MODULES and name.name.startswith("_rebuild")


def stored(value: Call, name: str, file: File) -> Stored:
    """The slice that the rebuild call `value` describes.

    Raises:
        CheckpointError: malformed, or a tensor without plain strided data in the file.
    """
    outer = value
    for _ in range(_MAX_WRAPPERS):
        inner = _unwrapped(value)
        if inner is None:
            break
        value = inner
    found = _slice(value) if is_tensor(value) else None
    is_flipped = found is not None and _is_flipped(value)
    if found is not None and not is_flipped:
        return found
    # Left out, it would be missing from every count.
    kind = value.named.name if value.named else "a computed call"
    why = _ODD.get(kind, "is not one this reader knows")
    if kind == "_rebuild_wrapper_subclass":
        why = f"is a {_class_of(outer)}, whose data is in parts: save plain tensors"
    if is_flipped:
        why = "is conjugated or negated when loaded: save its resolve_conj().resolve_neg()"
    raise CheckpointError(file, f"tensor {name!r} ({kind}) {why}")


def located(name: str, tensor: Stored, place: Place, file: File) -> TensorInfo:
    """The header of `tensor`, whose storage lies at `place`.

    Raises:
        CheckpointError: it reaches beyond its storage.
    """
    empty = prod(tensor.shape) == 0
    reach = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
    # A view without elements may begin anywhere, past the end too.
    begin = bytes_of(tensor.dtype, 0 if empty else tensor.offset)
    nbytes = bytes_of(tensor.dtype, 0 if empty else reach + 1)
    # torch's dtypes fill whole bytes.
    assert begin is not None
    assert nbytes is not None
    if begin + nbytes > place.nbytes:
        raise CheckpointError(
            file,
            f"tensor {name!r} needs {begin + nbytes} bytes of storage {tensor.storage.key!r}, "
            f"which has {place.nbytes}",
        )
    plain = empty or _is_contiguous(tensor.shape, tensor.strides)
    return TensorInfo(
        name,
        tensor.shape,
        tensor.dtype,
        file,
        place.offset + begin,
        nbytes,
        record=place.record,
        strides=None if plain else tensor.strides,
    )


def _unwrapped(value: Call) -> Call | None:
    if not is_tensor(value) or not isinstance(value.arguments, tuple) or not value.arguments:
        return None
    arguments, name = value.arguments, value.named.name if value.named else ""
    inner: Any = None
    if name in _WRAPPERS:
        inner = arguments[0]
    elif name in _FROM_TYPE and len(arguments) > 2:
        inner = Call(arguments[0], arguments[2])
    elif name == _FROM_CPU and is_tensor(arguments[0]) and len(arguments) > 1:
        # It may change the dtype while loading: then the bytes here are not the tensor's.
        dtype, saved = arguments[1], _slice(arguments[0])
        if saved and isinstance(dtype, Global) and TORCH_DTYPES.get(dtype.name) == saved.dtype:
            inner = arguments[0]
    return inner if isinstance(inner, Call) else None


def _slice(value: Call) -> Stored | None:
    name, arguments = value.named, value.arguments
    if name is None or name.name not in _REBUILDERS or not isinstance(arguments, tuple):
        return None
    if len(arguments) < 4:
        return None
    offset, shape, strides = arguments[1:4]
    storage = storage_id(arguments[0])
    if storage is None:
        return None
    dtype = storage.dtype
    if name.name == "_rebuild_tensor_v3" and len(arguments) > 6:
        named = arguments[6]
        dtype = TORCH_DTYPES.get(named.name) if isinstance(named, Global) else None
    if dtype is None or not is_count(offset) or not is_shape(shape) or not is_shape(strides):
        return None
    return Stored(storage, dtype, offset, shape, strides) if len(shape) == len(strides) else None


def _is_flipped(value: Call) -> bool:
    """Whether the bytes are not yet the values: torch's conj and neg bits (torch/_utils.py,
    `get_tensor_metadata`), in the last argument."""
    metadata = value.arguments[-1] if len(value.arguments) > 6 else None
    if not isinstance(metadata, Dict):
        return False
    # By name, whatever there is is gone through, and one may lie beside every tensor.
    flags = metadata.by_name() if len(metadata.flat) <= _MAX_METADATA else {"conj": True}
    return flags.get("conj") is True or flags.get("neg") is True


def _class_of(value: Call) -> str:
    """The class that a tensor subclass would be made of, where the pickle names it."""
    arguments = value.arguments if isinstance(value.arguments, tuple) else ()
    named = [a for a in arguments if isinstance(a, Global) and a.module not in _MODULES]
    return str(named[0]) if named else "tensor subclass"


def _is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    step = 1
    for n, stride in zip(reversed(shape), reversed(strides), strict=True):
        # A dimension of one element is never stepped over: torch leaves any stride there.
        if n != 1 and stride != step:
            return False
        step *= n
    return True
