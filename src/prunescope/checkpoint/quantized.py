"""Which weights do a quantised model's tensors stand for? Packed data and scales, put together.

A module `X` of a quantised Hugging Face model is stored as several tensors; each method of
`METHODS` is known by the name of one of them. Together they become `X.weight`, of the shape that
the weight had, with the stored tensors as its `parts`. How each method lays them out is in
`quantized_layouts` (integers in words), `quantized_scaled` (8-bit elements), `quantized_floats`,
`quantized_codebooks` and `quantized_torchao`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prunescope.checkpoint import quantized_codebooks as codebooks
from prunescope.checkpoint import quantized_floats as floats
from prunescope.checkpoint import quantized_layouts as layouts
from prunescope.checkpoint import quantized_scaled as scaled
from prunescope.checkpoint.quantized_module import Layout, Module
from prunescope.checkpoint.quantized_torchao import torchao
from prunescope.checkpoint.types import TensorInfo


@dataclass(frozen=True, slots=True)
class Method:
    """A way to store a quantised weight.

    Attributes:
        marker: the part that only this method has.
        others: the other parts that a module may have, all but its bias.
        layout: the weight that a module's tensors stand for; None where they are no such module.
        joint: what stands between a module's name and a part's; with `_` the module is a weight,
            and the part without a name is what it is stored as.
    """

    marker: str
    others: tuple[str, ...]
    layout: Callable[[Module], Layout | None]
    joint: str = "."

    @property
    def suffix(self) -> str:
        """How the name of its marker ends."""
        return f"{self.joint}{self.marker}"


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
    "input_scale_ub",
    "input_activation_scale",
    "output_activation_scale",
)
_BESIDE_SCALE = (
    "weight_scale_2",
    "weight_global_scale",
    "weight_zero_point",
    "weight_zp",
    "weight_g_idx",
    *_ACTIVATIONS,
)
_FP_QUANT = (
    "weight_global_scale",
    "act_global_scale",
    "forward_hadamard_matrix",
    "backward_hadamard_matrix",
)
_HQQ = (
    "scale",
    "zero",
    "shape",
    "nbits",
    "group_size",
    "axis",
    "packing",
    "unpack_view_dtype",
    "view_as_float",
    "quant_scale",
    "quant_zero",
    "compute_dtype",
    "offload_meta",
    "encoded_state_dict",
    "stores_quant_config",
    "channel_wise",
    "optimize",
    "round_zero",
)
_VPTQ = (
    "indices",
    "res_centroids.weight",
    "res_indices",
    "outlier_centroids.weight",
    "outlier_indices",
    "perm",
    "weight_scale",
    "weight_bias",
)
_TORCHAO = (
    "scale",
    "zero_point",
    "scale_and_zero",
    "group_scale",
    "group_zero",
    "row_scale",
    "per_tensor_scale",
    "act_pre_scale",
    "act_per_tensor_scale",
    "act_quant_scale",
    "act_quant_zero_point",
)
_QUANTO = ("weight._scale", "input_scale", "output_scale")
METHODS = (
    Method("qweight", ("qzeros", "scales", "g_idx", *_FP_QUANT), layouts.gptq_or_awq),
    Method("weight.quant_state.bitsandbytes__nf4", _BNB_4BIT, layouts.bitsandbytes_4bit),
    Method("weight.quant_state.bitsandbytes__fp4", _BNB_4BIT, layouts.bitsandbytes_4bit),
    Method("SCB", ("weight", "weight_format"), scaled.bitsandbytes_8bit),
    Method("weight_packed", ("weight_shape", "weight_scale", *_BESIDE_SCALE), layouts.packed),
    Method("weight_scale", ("weight", *_BESIDE_SCALE), scaled.scaled),
    Method("weight_scale_inv", ("weight", *_ACTIVATIONS), scaled.scaled),
    Method("scales", ("weight", "biases", "qbiases"), layouts.mlx),
    Method("W_q", _HQQ, layouts.hqq),
    Method("weight._data._data", ("weight._shift", *_QUANTO), layouts.quanto_packed),
    Method("weight._data", _QUANTO, scaled.quanto),
    Method("weight_scales", ("weight",), scaled.eetq),
    Method("codebooks", ("codes", "scales"), codebooks.aqlm),
    Method("centroids.weight", _VPTQ, codebooks.vptq),
    Method("tables", ("weight", "scales", "tables2"), codebooks.higgs),
    Method("dense_weights", ("row_offsets", "col_vals", "in_perm"), codebooks.spqr),
    Method("blocks", ("scales",), floats.mxfp4_blocks, joint="_"),
    Method("qdata", _TORCHAO, torchao, joint="_"),
    Method("weight_scale", ("", "weight_scale_2", "input_scale"), scaled.stacked, joint="_"),
    Method("scale", ("", "input_scale"), scaled.stacked, joint="_"),
    Method("scale_inv", ("", "input_scale"), scaled.stacked, joint="_"),
)
_SUFFIXES = tuple(method.suffix for method in METHODS)


def as_quantised(
    tensors: Mapping[str, TensorInfo], config: Mapping[str, Any], notes: Mapping[str, str]
) -> dict[str, TensorInfo]:
    """`tensors` with the parts of each quantised weight in one logical tensor, `X.weight`.

    Its dtype names the method (`GPTQ-4bit`), its `nbytes` are those of its parts.

    Args:
        config: config.json, whose `quantization_config` (MLX: `quantization`) may say what the
            shapes do not.
        notes: the weight files' own, in which torchao says what its classes hold.

    Raises:
        CheckpointError: a module of which a part is missing, or whose parts do not fit together.
    """
    settings = config.get("quantization_config", config.get("quantization"))
    settings = settings if isinstance(settings, Mapping) else {}
    whole: dict[str, TensorInfo] = {}
    belongs: dict[str, str] = {}
    # A large model has a quarter of a million of names.
    telling = [name for name in tensors if name.endswith(_SUFFIXES)]
    for method, suffix in zip(METHODS, _SUFFIXES, strict=True):
        for name in [name for name in telling if name.endswith(suffix)]:
            if name in belongs:
                continue
            stem = name.removesuffix(suffix)
            module = Module(stem, method.marker, tensors, settings, method.joint, notes)
            layout = method.layout(module)
            if layout is not None:
                weight = _weight(module, method, layout)
                if weight.name in whole or any(part.name in belongs for part in weight.parts):
                    # One of them would be missing from every count.
                    module.refuse("is quantised in two ways")
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
    name = module.weight
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
