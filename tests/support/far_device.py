"""A second device, `far`, on a machine that has none: the CPU computes what lives there.

Its tensors say that they are elsewhere; operands of two devices are refused as CUDA refuses them,
float64 as Metal does, what a transfer copies is copied, and the bytes that live there are counted.
So the road of `--device` is taken with real numbers. A device's own kernels and their rounding are
not seen.

python -m tests.support.far_device prune --device far ...: prunescope where that device is; its last
line on stderr says how many bytes lived there at the most.
"""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from typing import Any

import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

NAME = "far"
TOTAL = 1 << 34
_aten = torch.ops.aten
# The operators that take operands of two devices: transfers, and choices by indices of the CPU.
_MIXED = {_aten.copy_, _aten._to_copy, _aten.index, _aten.index_put, _aten.index_put_}


class _Holder:
    """Whoever needs a storage: no tensor, since torch swaps none that is weakly referred to."""


class _Memory:
    """The device's module, as `torch.cuda` is CUDA's: bytes of the storages that live there."""

    def __init__(self) -> None:
        self._holders: Counter[int] = Counter()
        self._now = self._most = 0

    def hold(self, values: torch.Tensor) -> _Holder:
        """Count the storage of `values` for as long as what this gives is there."""
        storage = values.untyped_storage()
        key, size = storage.data_ptr(), storage.nbytes()
        if not self._holders[key]:
            self._now += size
            self._most = max(self._most, self._now)
        self._holders[key] += 1
        holder = _Holder()
        weakref.finalize(holder, self._release, key, size)
        return holder

    def _release(self, key: int, size: int) -> None:
        self._holders[key] -= 1
        if not self._holders[key]:
            self._now -= size

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def manual_seed_all(self, seed: int) -> None: ...

    def _is_in_bad_fork(self) -> bool:
        return False

    def synchronize(self, device: object = None) -> None: ...

    def empty_cache(self) -> None: ...

    def memory_allocated(self, device: object = None) -> int:
        return self._now

    def max_memory_allocated(self, device: object = None) -> int:
        return self._most

    def reset_peak_memory_stats(self, device: object = None) -> None:
        self._most = self._now

    def mem_get_info(self, device: object = None) -> tuple[int, int]:
        return TOTAL - self._now, TOTAL


MEMORY = _Memory()
backend_registration._setup_privateuseone_for_python_backend(NAME, MEMORY)


class FarTensor(torch.Tensor):
    """A tensor of the device; `held` are its values."""

    held: torch.Tensor
    holder: _Holder

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> FarTensor:
        if held.dtype == torch.float64:
            raise TypeError(f"{NAME} has no float64")
        made: FarTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )
        made.held, made.holder = held, MEMORY.hold(held)
        return made

    def tolist(self) -> Any:
        return self.held.tolist()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.held.untyped_storage()

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def __repr__(self, **_: Any) -> str:
        return f"far {self.held!r}"

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, torch.Tensor], *_: object) -> FarTensor:
        return FarTensor(inner["held"])


class Transfers(TorchDispatchMode):
    """Sees what is made on the device, and what goes there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    if func.namespace == "aten" and func._can_decompose():  # in inference mode
        parts = func.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
    operands = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    is_far = any(isinstance(operand, FarTensor) for operand in operands)
    operator, asked = func.overloadpacket, kwargs.get("device")
    if is_far and operator not in _MIXED:
        for operand in operands:
            if not isinstance(operand, FarTensor) and operand.dim():
                raise RuntimeError(f"all tensors must be on the same device: {NAME}, cpu ({func})")
    if is_far and operator is _aten._fused_sdp_choice:
        return 0  # the one made of plain operators
    plain, named = tree_map(_held, (args, kwargs))
    goes = is_far if asked is None else torch.device(asked).type == NAME
    if asked is not None and goes:
        named["device"] = torch.device("cpu")
    if is_far and operator is _aten.histc:  # of whole numbers too, as on CUDA
        found = func(plain[0].double(), *plain[1:], **named).to(plain[0].dtype)
    else:
        found = func(*plain, **named)
    if not goes:
        return found
    wrapped = tree_map(lambda leaf: FarTensor(leaf) if torch.is_tensor(leaf) else leaf, found)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if is_far else wrapped


def _held(leaf: Any) -> Any:
    return leaf.held if isinstance(leaf, FarTensor) else leaf


def _empty(size: Any, dtype: Any = None, **_: Any) -> FarTensor:
    return FarTensor(torch.empty(size, dtype=dtype, device="cpu"))


def _empty_strided(size: Any, strides: Any, dtype: Any = None, **_: Any) -> FarTensor:
    return FarTensor(torch.empty_strided(size, strides, dtype=dtype, device="cpu"))


def _copied(source: torch.Tensor, target: torch.Tensor, non_blocking: bool = False) -> Any:
    _held(target).copy_(_held(source))
    return target


# What `torch.tensor` and composed operators do out of sight of `Transfers`.
_BEHIND = torch.library.Library("aten", "IMPL")
_BEHIND.impl("empty.memory_format", _empty, "PrivateUse1")
_BEHIND.impl("empty_strided", _empty_strided, "PrivateUse1")
_BEHIND.impl("_copy_from", _copied, "PrivateUse1")

if __name__ == "__main__":
    from prunescope.cli.main import main

    with Transfers():
        try:
            main()
        finally:
            sys.stderr.write(f"{MEMORY.max_memory_allocated()}\n")
