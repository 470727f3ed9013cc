"""How are weights of 8-bit elements laid out? In the weight's own shape, beside their scales."""

from __future__ import annotations

from math import ceil

from prunescope.checkpoint.dtypes import DTYPE_BITS
from prunescope.checkpoint.quantized_floats import small_floats, stacked_floats
from prunescope.checkpoint.quantized_layouts import quark
from prunescope.checkpoint.quantized_module import Layout, Module, scales_fit
from prunescope.checkpoint.types import TensorInfo


def bitsandbytes_8bit(module: Module) -> Layout:
    """LLM.int8() (bitsandbytes, nn/modules.py, Linear8bitLt): weight [out, in] I8, SCB [out]."""
    weight, scale = module.get("weight"), module.get("SCB", axes=1)
    layout = Layout(weight.shape, "bnb-INT8")
    if weight.dtype != "I8":
        module.refuse(f"has a weight of type {weight.dtype}, not I8")
    module.check(scale.shape == weight.shape[:1], scale, layout)
    return layout


def scaled(module: Module) -> Layout | None:
    """A weight of 8-bit elements, in its own shape, with scales.

    compressed-tensors' int-quantized and float-quantized: weight_scale for the tensor, a row or a
    group. transformers' fine-grained FP8, as DeepSeek stores it (integrations/finegrained_fp8.py):
    weight_scale_inv [out/block, in/block]. FBGEMM's: weight_scale [out, 1]. ModelOpt's NVFP4 and
    Quark's MXFP4: small floats in U8. BitNet (integrations/bitnet.py, pack_weights): [out/4, in]
    U8, of rows a quarter apart.
    """
    weight, scale = module.find("weight"), module.marked
    method = module.settings.get("quant_method")
    if weight is not None and weight.dtype == "I32" and method == "quark":
        return quark(module)
    if weight is None or DTYPE_BITS.get(weight.dtype) != 8:
        return None
    if weight.dtype == "U8" and len(weight.shape) == 2:
        if method == "bitnet":
            return Layout((4 * weight.shape[0], weight.shape[1]), "BitNet-2bit")
        if method == "gemma":
            return _gemma(module, weight, scale)
        return small_floats(module, weight, scale)
    layout = Layout(weight.shape, "INT8" if weight.dtype == "I8" else "FP8")
    block = module.settings.get("weight_block_size")
    if isinstance(block, list) and len(block) == len(scale.shape) == len(weight.shape):
        expected = tuple(
            ceil(n / b) if type(b) is int and b > 0 else 0
            for n, b in zip(weight.shape, block, strict=True)
        )
        module.check(scale.shape == expected, scale, f"{layout} in blocks of {block}")
    module.check(scales_fit(scale.shape, weight.shape), scale, layout)
    return layout


def stacked(module: Module) -> Layout | None:
    """All experts of a layer in 8 bits: X [experts, in, out], X_scale for each row or column.

    transformers, integrations/fbgemm_fp8.py (FbgemmFp8Llama4TextExperts): gate_up_proj_scale
    [experts, 1, out]; down_proj_scale [experts, out, 1]. With blocks it is X_scale_inv, and
    [experts, out, in] (integrations/finegrained_fp8.py). ModelOpt's is X_weight_scale, of all or of
    each expert; in NVFP4 the experts are small floats.
    """
    weight, scale = module.find(""), module.marked
    if weight is None or len(weight.shape) != 3 or DTYPE_BITS.get(weight.dtype) != 8:
        return None
    if weight.dtype == "U8":
        return stacked_floats(weight, scale)
    layout = Layout(weight.shape, "INT8" if weight.dtype == "I8" else "FP8")
    across = (weight.shape[0], weight.shape[2], 1)
    fits = scale.shape == across or scales_fit(scale.shape, weight.shape)
    module.check(fits, scale, layout)
    return layout


def eetq(module: Module) -> Layout | None:
    """transformers, integrations/eetq.py (EetqLinear): weight [in, out] I8, weight_scales [out]."""
    weight, scales = module.find("weight"), module.marked
    if weight is None or weight.dtype != "I8" or len(weight.shape) != 2:
        return None
    layout = Layout((weight.shape[1], weight.shape[0]), "EETQ-INT8")
    module.check(scales.shape == weight.shape[1:], scales, layout)
    return layout


def quanto(module: Module) -> Layout:
    """optimum-quanto's 8-bit elements: weight._data, and weight._scale for each row.

    https://github.com/huggingface/optimum-quanto, optimum/quanto/tensor/weights/qbytes.py.
    """
    data, scale = module.marked, module.find("weight._scale")
    if scale is None:
        module.refuse("has no weight._scale")
    name = "INT8" if data.dtype == "I8" else "FP8"
    layout = Layout(data.shape, f"quanto-{name}")
    module.check(DTYPE_BITS.get(data.dtype) == 8 and data.dtype != "U8", data, layout)
    module.check(scales_fit(scale.shape, data.shape), scale, layout)
    return layout


def _gemma(module: Module, weight: TensorInfo, scale: TensorInfo) -> Layout | None:
    """transformers, integrations/gemma_quant.py (QuantizedLinear): weight [out, in·bits/8] U8, of 4
    bits, or as config.json says; patterns by which it gives modules others are a program of its
    author's, and not run."""
    bits = module.settings.get("num_bits", 4)
    if module.settings.get("module_quant_configs") or type(bits) is not int or bits not in (2, 4):
        return None
    layout = Layout((weight.shape[0], weight.shape[1] * 8 // bits), f"Gemma-INT{bits}")
    module.check(scale.shape == (weight.shape[0], 1), scale, layout)
    return layout
