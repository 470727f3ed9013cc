"""Weights of torchao's classes, without torchao: classes of the same names and attributes.

What torchao 0.13 and 0.18 pickle of a Linear of [96, 256] has these classes, attributes, types and
shapes; torch writes a class by its module and name, so that the pickle makes the same calls.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch

SHAPE = (96, 256)


def made(patch: pytest.MonkeyPatch, named: str, shape: tuple[int, ...], **attributes: Any) -> Any:
    """An object of the class `named`, a tensor of `shape` with these attributes."""
    module, _, name = named.rpartition(".")
    # The pickler imports what it names, from the outermost package on.
    path = module.split(".")
    for part in (".".join(path[: n + 1]) for n in range(len(path))):
        if part not in sys.modules:
            patch.setitem(sys.modules, part, ModuleType(part))
    home = sys.modules[module]
    if not hasattr(home, name):
        patch.setattr(home, name, _class(module, name), raising=False)
    whole = torch.Tensor._make_wrapper_subclass(getattr(home, name), shape, dtype=torch.bfloat16)
    whole.__dict__.update(attributes)
    return whole


def _class(module: str, name: str) -> type:
    def dispatch(cls: type, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError(function)

    body = {"__module__": module, "__torch_dispatch__": classmethod(dispatch)}
    return type(name, (torch.Tensor,), body)


def int8(patch: pytest.MonkeyPatch) -> Any:
    """torchao 0.18, `Int8WeightOnlyConfig`."""
    return made(
        patch,
        "torchao.quantization.Int8Tensor",
        SHAPE,
        qdata=torch.zeros(SHAPE, dtype=torch.int8),
        scale=torch.ones(96, 1),
        block_size=[1, 256],
        zero_point=torch.zeros(96, 1, dtype=torch.int8),
        act_quant_kwargs=None,
        act_pre_scale=None,
        reduce_range=False,
    )


def float8(patch: pytest.MonkeyPatch) -> Any:
    """torchao 0.18, `Float8WeightOnlyConfig`."""
    return made(
        patch,
        "torchao.quantization.Float8Tensor",
        SHAPE,
        qdata=torch.zeros(SHAPE).to(torch.float8_e4m3fn),
        scale=torch.ones(96, 1),
        block_size=[1, 256],
    )


def intx(patch: pytest.MonkeyPatch) -> Any:
    """torchao 0.18, `IntxWeightOnlyConfig` of int4 in groups of 32: a byte each all the same."""
    return made(
        patch,
        "torchao.quantization.IntxUnpackedToInt8Tensor",
        SHAPE,
        qdata=torch.zeros(SHAPE, dtype=torch.int8),
        scale=torch.ones(96, 8, dtype=torch.bfloat16),
        zero_point=torch.zeros(96, 8, dtype=torch.int8),
        target_dtype=torch.int4,
        block_size=(1, 32),
    )


def int4_on_cpu(patch: pytest.MonkeyPatch) -> Any:
    """torchao 0.13, `Int4WeightOnlyConfig(group_size=32, version=1, layout=Int4CPULayout())`."""
    memory = made(
        patch,
        "torchao.dtypes.uintx.int4_cpu_layout.Int4CPUAQTTensorImpl",
        (96, 128),
        packed_weight=torch.zeros(96, 128, dtype=torch.uint8),
        scale_and_zero=torch.ones(8, 96, 2, dtype=torch.bfloat16),
        transposed=False,
    )
    return affine(patch, memory, block_size=(1, 32), quant_min=0, quant_max=15)


def tiled_int4(patch: pytest.MonkeyPatch) -> Any:
    """torchao 0.13's default for a GPU (TensorCoreTiledAQTTensorImpl): `in` filled up to 1024."""
    memory = made(
        patch,
        "torchao.dtypes.uintx.tensor_core_tiled_layout.TensorCoreTiledAQTTensorImpl",
        (96, 1024),
        packed_weight=torch.zeros(12, 8, 32, 4, dtype=torch.int32),
        scale_and_zero=torch.ones(32, 96, 2, dtype=torch.bfloat16),
        transposed=False,
    )
    return affine(patch, memory, block_size=(1, 32), quant_min=0, quant_max=15)


def dynamic_int8(patch: pytest.MonkeyPatch) -> Any:
    """torchao 0.13, `Int8DynamicActivationInt8WeightConfig`: three objects, one in another."""
    memory = made(
        patch,
        "torchao.dtypes.uintx.plain_layout.PlainAQTTensorImpl",
        SHAPE,
        int_data=torch.zeros(SHAPE, dtype=torch.int8),
        scale=torch.ones(96, dtype=torch.bfloat16),
        zero_point=None,
    )
    return made(
        patch,
        "torchao.quantization.linear_activation_quantized_tensor.LinearActivationQuantizedTensor",
        SHAPE,
        original_weight_tensor=affine(patch, memory, block_size=(1, 256)),
        quant_kwargs={},
    )


def affine(patch: pytest.MonkeyPatch, memory: Any, **attributes: Any) -> Any:
    """An affine quantised weight of [96, 256] around `memory`."""
    named = "torchao.dtypes.affine_quantized_tensor.AffineQuantizedTensor"
    return made(patch, named, SHAPE, tensor_impl=memory, **attributes)
