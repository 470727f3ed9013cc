"""How does torch see a checkpoint's bytes? As tensors over a memory map, without a copy."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from prunescope.checkpoint import Checkpoint, TensorInfo
from prunescope.checkpoint.dtypes import TORCH_DTYPES
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from prunescope.extras import require
from prunescope.interop.lazy_state import LazyState, Outline

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", "prune")

# An older torch lacks some of the narrow types.
DTYPES: dict[str, torch.dtype] = {
    stored: getattr(torch, name) for name, stored in TORCH_DTYPES.items() if hasattr(torch, name)
}


_COMPUTABLE = ("F64", "F32", "F16", "BF16")


def computing_dtype(checkpoint: Checkpoint) -> torch.dtype:
    """What a model computes in: the type of its parameters, that of most where they differ.

    Raises:
        CheckpointError: they are of a type that torch only stores, such as F8_E4M3 or I8.
    """
    for tensor in checkpoint.tensors.values():
        if tensor.dtype not in _COMPUTABLE:
            raise CheckpointError(
                tensor.file, f"tensor {tensor.name!r}: torch cannot compute in {tensor.dtype}"
            )
    return DTYPES[next(iter(checkpoint.dtypes))]


def as_tensor(weights: WeightMap, info: TensorInfo) -> torch.Tensor:
    """The stored tensor: its shape and dtype, on the CPU, over the mapped file.

    It must not be written to: its memory is read-only.

    Raises:
        CheckpointError: the file is truncated, or torch has no such dtype.
    """
    dtype = _dtype(info)
    if not info.parameters:
        return torch.empty(info.shape, dtype=dtype)
    with warnings.catch_warnings():
        # torch warns that the buffer is read-only; that is what we want.
        warnings.simplefilter("ignore", UserWarning)
        flat = torch.frombuffer(weights.view(info), dtype=dtype)
    if info.strides is not None:
        return flat.as_strided(info.shape, info.strides)
    return flat.view(info.shape)


def stored_state(checkpoint: Checkpoint, weights: WeightMap) -> LazyState:
    """Every tensor of `checkpoint`, made over the memory map when it is asked for.

    Raises:
        CheckpointError: torch has no such dtype; asked for a tensor, as `as_tensor`.
    """
    outlines = {name: Outline(i.shape, _dtype(i)) for name, i in checkpoint.tensors.items()}
    made = checkpoint.tensors
    return LazyState(outlines, lambda name: as_tensor(weights, made[name]), weights.release)


def _dtype(info: TensorInfo) -> torch.dtype:
    dtype = DTYPES.get(info.dtype)
    if dtype is None:
        raise CheckpointError(info.file, f"tensor {info.name!r}: torch cannot hold {info.dtype}")
    return dtype
