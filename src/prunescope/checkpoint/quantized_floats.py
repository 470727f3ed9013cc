"""How are weights of 4- and 6-bit floats laid out? In bytes, in groups with a scale each."""

from __future__ import annotations

from prunescope.checkpoint.quantized_module import Layout, Module
from prunescope.checkpoint.types import TensorInfo

# Name, bits of an element, elements that share a scale, and the scale's types.
# MX: https://www.opencompute.org/documents/ocp-microscaling-formats-mx-v1-0-spec-final-pdf
_SMALL_FLOATS = (
    ("NVFP4", 4, 16, ("F8_E4M3",)),
    ("MXFP4", 4, 32, ("U8", "F8_E8M0")),
    ("MXFP6", 6, 32, ("U8", "F8_E8M0")),
)


def small_floats(module: Module, data: TensorInfo, scale: TensorInfo) -> Layout:
    """Floats of 4 or 6 bits packed into bytes, and a scale for each 16 or 32 of them."""
    if data.dtype == "U8" and len(data.shape) == 2:
        rows, columns = data.shape[0], 8 * data.shape[1]
        for name, bits, group, types in _SMALL_FLOATS:
            whole = columns % (bits * group) == 0
            groups = columns // (bits * group)
            if whole and scale.dtype in types and scale.shape == (rows, groups):
                return Layout((rows, groups * group), name)
    return module.refuse(
        f"has {data.dtype} data {list(data.shape)} and {scale.dtype} scales {list(scale.shape)}, "
        "which do not fit together"
    )


def mxfp4_blocks(module: Module) -> Layout | None:
    """gpt-oss's experts: 4-bit floats in blocks of 32 along `in`, with a scale each.

    transformers, integrations/mxfp4.py (convert_moe_packed_tensors): X_blocks [experts, out,
    in/32, 16] U8, X_scales [experts, out, in/32] U8; X is [experts, in, out].
    """
    blocks, scales = module.marked, module.find("scales")
    if scales is None or {blocks.dtype, scales.dtype} != {"U8"} or len(blocks.shape) != 4:
        return None
    experts, out, groups, half = blocks.shape
    layout = Layout((experts, groups * 32, out), "MXFP4")
    module.check(half == 16, blocks, layout)
    module.check(scales.shape == blocks.shape[:-1], scales, layout)
    return layout


def stacked_floats(data: TensorInfo, scale: TensorInfo) -> Layout | None:
    """ModelOpt's experts: X [experts, in/2, out] U8, X_weight_scale [experts, in/16, out] in NVFP4.

    https://github.com/NVIDIA/TensorRT-LLM, tensorrt_llm/_torch/modules/fused_moe/quantization.py
    (FUSED_GATE_UP_PROJ) takes each expert's transposed. Packed along the last axis where that fits.
    """
    for name, bits, group, types in _SMALL_FLOATS:
        if bits != 4 or scale.dtype not in types:
            continue
        for axis in (1, 2):
            shape = [n * (2 if at == axis else 1) for at, n in enumerate(data.shape)]
            groups = [n // (group if at == axis else 1) for at, n in enumerate(shape)]
            if not shape[axis] % group and scale.shape == tuple(groups):
                return Layout(tuple(shape), name)
    return None


def fp_quant(module: Module, data: TensorInfo, scales: TensorInfo) -> Layout:
    """FP-Quant's (https://github.com/IST-DASLab/FP-Quant, inference_lib, module/linear.py): qweight
    [out, in/2] U8, scales [out, in/16] in NVFP4, [out, in/32] in MXFP4, bytes in both."""
    rows, columns = data.shape[0], 2 * data.shape[1]
    for name, group in (("NVFP4", 16), ("MXFP4", 32)):
        if scales.shape == (rows, columns // group) and not columns % group:
            return Layout((rows, columns), name)
    return module.refuse(
        f"has qweight {list(data.shape)} of type U8 and scales {list(scales.shape)}"
    )
