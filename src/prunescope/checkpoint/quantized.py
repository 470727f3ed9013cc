"""Which weights do a quantised model's tensors stand for? Packed data and scales, put together.

A module `X` of a quantised Hugging Face model is stored as several tensors; each method of
`METHODS` is known by the name of one of them. Together they become `X.weight`, of the shape that
the weight had, with the stored tensors as its `parts`. How each method lays them out is in
`prunescope.checkpoint.quantized_layouts`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prunescope.checkpoint import quantized_layouts as layouts
from prunescope.checkpoint.quantized_layouts import Layout, Module
from prunescope.checkpoint.types import TensorInfo


@dataclass(frozen=True, slots=True)
class Method:
    """A way to store a quantised weight.

    Attributes:
        marker: the part that only this method has.
        others: the other parts that a module may have, all but its bias.
        layout: the weight that a module's tensors stand for; None where they are no such module.
        joint: what stands between a module's name and a part's; with `_` the module is a weight.
    """

    marker: str
    others: tuple[str, ...]
    layout: Callable[[Module], Layout | None]
    joint: str = "."


_BNB_4BIT = (
    "weight",
    "weight.absmax",
    "weight.quant_map",
    "weight.nested_absmax",
    "weight.nested_quant_map",
)
# Scales of what flows into and out of a module, where it is computed in few bits too.
_ACTIVATIONS = (
    "input_scale",
    "input_zero_point",
    "input_global_scale",
    "output_scale",
    "output_zero_point",
    "activation_scale",
)
_BESIDE_SCALE = (
    "weight_scale_2",
    "weight_global_scale",
    "weight_zero_point",
    "weight_g_idx",
    *_ACTIVATIONS,
)
METHODS = (
    Method("qweight", ("qzeros", "scales", "g_idx"), layouts.gptq_or_awq),
    Method("weight.quant_state.bitsandbytes__nf4", _BNB_4BIT, layouts.bitsandbytes_4bit),
    Method("weight.quant_state.bitsandbytes__fp4", _BNB_4BIT, layouts.bitsandbytes_4bit),
    Method("SCB", ("weight", "weight_format"), layouts.bitsandbytes_8bit),
    Method("weight_packed", ("weight_shape", "weight_scale", *_BESIDE_SCALE), layouts.packed),
    Method("weight_scale", ("weight", *_BESIDE_SCALE), layouts.scaled),
    Method("weight_scale_inv", ("weight", *_ACTIVATIONS), layouts.scaled),
    Method("scales", ("weight", "biases"), layouts.mlx),
    Method("blocks", ("scales",), layouts.mxfp4_blocks, joint="_"),
)


def as_quantised(
    tensors: Mapping[str, TensorInfo], config: Mapping[str, Any]
) -> dict[str, TensorInfo]:
    """`tensors` with the parts of each quantised weight in one logical tensor, `X.weight`.

    Its dtype names the method (`GPTQ-4bit`), its `nbytes` are those of its parts.

    Args:
        config: config.json, whose `quantization_config` (MLX: `quantization`) may say what the
            shapes do not.

    Raises:
        CheckpointError: a module of which a part is missing, or whose parts do not fit together.
    """
    settings = config.get("quantization_config", config.get("quantization"))
    settings = settings if isinstance(settings, Mapping) else {}
    whole: dict[str, TensorInfo] = {}
    belongs: dict[str, str] = {}
    for method in METHODS:
        suffix = f"{method.joint}{method.marker}"
        for name in tensors:
            if not name.endswith(suffix) or name in belongs:
                continue
            stem = name.removesuffix(suffix)
            module = Module(stem, method.marker, tensors, settings, method.joint)
            layout = method.layout(module)
            if layout is not None:
                weight = _weight(module, method, layout)
                whole[weight.name] = weight
                belongs |= dict.fromkeys((part.name for part in weight.parts), weight.name)
    result: dict[str, TensorInfo] = {}
    for name, tensor in tensors.items():
        target = belongs.get(name, name)
        result[target] = whole.get(target, tensor)
    return result


def _weight(module: Module, method: Method, layout: Layout) -> TensorInfo:
    found = (module.find(part) for part in (method.marker, *method.others))
    parts = tuple(
        sorted((p for p in found if p), key=lambda p: (p.file.name, p.record or 0, p.offset))
    )
    name = f"{module.stem}.weight" if method.joint == "." else module.stem
    if name in module.tensors and module.tensors[name] not in parts:
        module.refuse("has its weight unquantised too")
    return TensorInfo(
        name,
        layout.shape,
        layout.dtype,
        parts[0].file,
        parts[0].offset,
        sum(part.nbytes for part in parts),
        record=parts[0].record,
        parts=parts,
    )
