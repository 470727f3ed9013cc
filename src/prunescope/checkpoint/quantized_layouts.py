"""How do the methods that pack integers into words lay a weight out? One function a method.

Every function takes a module's tensors and gives the shape ([out, in]) and the name of what they
stand for, once their shapes have been checked against each other; None where they are another's.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, prod

from prunescope.checkpoint.jsonfile import parse_object
from prunescope.checkpoint.quantized_floats import fp_quant, small_floats
from prunescope.checkpoint.quantized_module import Layout, Module, scales_fit
from prunescope.checkpoint.types import TensorInfo
from prunescope.checkpoint.weights import small_bytes

_STATE_BYTES = 4096
# HQQ's bits → elements in a byte; those of 3 bits lie ten to an int32.
_HQQ_IN_A_BYTE = {8: 1, 4: 2, 2: 4, 1: 8}
# MLX's modes → elements that share a scale, where config.json does not say.
_MLX_GROUPS = {"affine": 64, "mxfp4": 32, "mxfp8": 32, "nvfp4": 16}


def gptq_or_awq(module: Module) -> Layout:
    """int32 words of weights: packed along `in` by GPTQ, along `out` by AWQ; AutoRound has both.

    GPTQ (https://github.com/AutoGPTQ/AutoGPTQ, nn_modules/qlinear): qweight [in·bits/32, out],
    qzeros [groups, out·bits/32], scales [groups, out], g_idx [in].
    AWQ (https://github.com/casper-hansen/AutoAWQ, modules/linear/gemm.py): qweight
    [in, out·bits/32], qzeros [groups, out·bits/32], scales [groups, out].
    """
    qweight, scales, qzeros = module.get("qweight"), module.get("scales"), module.find("qzeros")
    if qweight.dtype == "U8":
        return fp_quant(module, qweight, scales)
    if module.settings.get("version") == "gemv":
        return _awq_gemv(module, qweight, scales)
    groups, out = scales.shape
    stated = module.settings.get("bits", module.settings.get("w_bit"))
    # They give single modules settings other than the model's: GPTQModel and AutoRound.
    if type(stated) is not int or {"dynamic", "extra_config"} & module.settings.keys():
        stated = 0
    bits: float
    if qweight.shape[1] == out:
        # A stranger's number may be past what a float holds.
        told = stated if stated in range(2, 9) else 0
        method, bits = "GPTQ", (qzeros.shape[-1] * 32 / out if qzeros and qzeros.shape else told)
        columns = qweight.shape[0] * 32 / (bits or 1)
    else:
        method, bits, columns = "AWQ", qweight.shape[1] * 32 / out, qweight.shape[0]
    if bits not in range(2, 9) or columns != int(columns) or groups > columns:
        module.refuse(
            f"has qweight {list(qweight.shape)} and scales {list(scales.shape)} of {bits:g} bits"
        )
    if stated and stated != bits:
        module.refuse(f"has {bits:g} bits, quantization_config says {stated}")
    layout = Layout((out, int(columns)), f"{method}-{bits:g}bit")
    if qzeros is not None:
        module.check(qzeros.shape == (groups, out * bits / 32), qzeros, layout)
    index = module.find("g_idx")
    if index is not None:
        module.check(index.shape == (columns,), index, layout)
    size = module.settings.get("group_size")
    if stated and type(size) is int and size > 0:
        module.check(groups == -(-int(columns) // size), scales, f"{layout} in groups of {size}")
    return layout


def _awq_gemv(module: Module, qweight: TensorInfo, scales: TensorInfo) -> Layout:
    """AutoAWQ's other packing, of `version: gemv` (modules/linear/gemv.py): qweight [out, in/8],
    qzeros [out, groups/8] and scales [out, groups], filled up with groups that there are not."""
    qzeros = module.get("qzeros")
    layout = Layout((qweight.shape[0], 8 * qweight.shape[1]), "AWQ-4bit")
    module.check(qzeros.shape[0] == layout.shape[0], qzeros, layout)
    module.check(scales.shape == (layout.shape[0], 8 * qzeros.shape[1]), scales, layout)
    return layout


def bitsandbytes_4bit(module: Module) -> Layout:
    """4-bit floats, two a byte, in blocks with a scale each; the shape is JSON in a tensor.

    https://github.com/bitsandbytes-foundation/bitsandbytes, functional.py (QuantState.as_dict):
    weight [elements/2, 1] U8 or as many bytes of another type, absmax [blocks] F32, or U8 with
    nested_absmax, quant_map [16], quant_state.bitsandbytes__<nf4|fp4>.
    """
    kind = module.marker.rpartition("__")[2]
    what = f"quant_state of {module.stem!r}"
    state = parse_object(small_bytes(module.marked, _STATE_BYTES), module.marked.file, what)
    shape, block = state.get("shape"), state.get("blocksize")
    if not isinstance(shape, list) or not all(type(n) is int and 0 < n < 1 << 31 for n in shape):
        module.refuse("has a quant_state without a shape")
    if type(block) is not int or block < 1 or state.get("quant_type") != kind:
        module.refuse(f"has blocks of {block!r} and type {state.get('quant_type')!r}, not {kind}")
    weight, absmax = module.find("weight"), module.get("weight.absmax", axes=1)
    layout = Layout(tuple(shape), f"bnb-{kind.upper()}")
    if weight is None:
        module.refuse("has no weight")
    elements = prod(shape)
    # In whole numbers: a stranger's shape may be past what a float holds.
    module.check(weight.nbytes == -(-elements // 2), weight, layout)
    module.check(absmax.shape == (-(-elements // block),), absmax, layout)
    return layout


def packed(module: Module) -> Layout:
    """compressed-tensors' packed formats: small integers with their shape, or small floats.

    https://github.com/vllm-project/compressed-tensors, compressors/pack_quantized: weight_packed
    [out, in·bits/32] I32, weight_shape [2], weight_scale for the tensor, a row or a group;
    compressors/nvfp4, mxfp4 and mxfp6: weight_packed U8, weight_scale [out, groups].
    """
    data, scale = module.get("weight_packed"), module.find("weight_scale")
    stored = module.find("weight_shape")
    if scale is None:
        module.refuse("has no weight_scale")
    if stored is None:
        return small_floats(module, data, scale)
    shape = module.integers(stored, 2)
    words, columns = data.shape[1], shape[1]
    fitting = [
        bits
        for bits in (4, 8, 2, 1, 3, 5, 6, 7)
        # Newer versions fill every word; older ones leave the bits that hold no whole element.
        if words in (ceil(columns * bits / 32), ceil(columns / (32 // bits)))
    ]
    module.check(bool(fitting) and data.shape[0] == shape[0], data, f"weight of {list(shape)}")
    module.check(scales_fit(scale.shape, shape), scale, f"weight of {list(shape)}")
    return Layout(shape, f"packed-INT{fitting[0]}")


def mlx(module: Module) -> Layout | None:
    """MLX's: words of elements along `in`, and a scale for each group of them.

    https://ml-explore.github.io/mlx/build/html/python/_autosummary/mlx.core.quantize.html: weight
    […, in·bits/32] U32, scales […, groups], and biases like them in the mode `affine`; transformers
    calls these qbiases (integrations/metal_quantization.py). config.json says how large a group is,
    for single modules under their names.
    """
    weight, scales, biases = (
        module.find("weight"),
        module.marked,
        module.find("biases") or module.find("qbiases"),
    )
    if weight is None or weight.dtype != "U32" or not module.settings:
        return None
    own = module.settings.get(module.stem)
    settings = {**module.settings, **(own if isinstance(own, Mapping) else {})}
    mode = settings.get("mode", "affine")
    size = settings.get("group_size")
    known = _MLX_GROUPS.get(mode) if isinstance(mode, str) else None
    if size is None:
        size = known
    if known is None or type(size) is not int or not 0 < size <= 1 << 16:
        module.refuse(f"has groups of {size!r} in mode {mode!r}")
    if not scales.parameters or len(scales.shape) < 2:
        module.refuse(f"has a scales of shape {list(scales.shape)}")
    columns = scales.shape[-1] * size
    bits, rest = divmod(weight.shape[-1] * 32 if weight.shape else 0, columns)
    name = f"MLX-{bits}bit" if mode == "affine" else mode.upper()
    layout = Layout((*scales.shape[:-1], columns), name)
    fits = weight.shape[:-1] == scales.shape[:-1] and not rest and bits in range(2, 9)
    module.check(fits, weight, layout)
    stated = settings.get("bits")
    if type(stated) is int and stated != bits:
        module.refuse(f"has {bits} bits, config.json says {stated}")
    if biases is not None:
        module.check(biases.shape == scales.shape, biases, layout)
    return layout


def hqq(module: Module) -> Layout | None:
    """HQQ's: elements packed into bytes by the first axis of a matrix of groups, and many scalars.

    https://github.com/mobiusml/hqq, hqq/core/quantize.py (HQQLinear.state_dict) and
    hqq/core/bitpack.py: W_q U8, or int32 words of ten 3-bit elements, or as many bytes of another
    type; scale and zero for each group; shape [2] and nbits, which say what W_q does not.
    """
    stored, number = module.find("shape"), module.find("nbits")
    if stored is None or number is None:
        return None
    data = module.get("W_q")
    shape, (bits,) = module.integers(stored, 2), module.integers(number, 1)
    if min(shape) < 1 or max(shape) >= 1 << 31:
        module.refuse(f"has a shape of {list(shape)}")
    layout, elements = Layout(shape, f"HQQ-{bits}bit"), prod(shape)
    if bits == 3:
        rows = data.shape[0]
        columns, rest = divmod(data.nbytes, 4 * rows)
        fits = not rest and columns > 0 and not elements % columns
        fits = fits and rows == ceil(elements // columns / 10)
    else:
        fits = data.nbytes * _HQQ_IN_A_BYTE.get(bits, 0) == elements
    module.check(fits, data, layout)
    for part in ("scale", "zero"):
        scale = module.get(part)
        module.check(elements % scale.parameters == 0, scale, layout)
    return layout


def quanto_packed(module: Module) -> Layout:
    """optimum-quanto's 2- and 4-bit integers, packed by the first axis of a matrix of groups.

    https://github.com/huggingface/optimum-quanto, optimum/quanto/tensor (packed.py and group.py of
    weights/qbits): weight._data._data [groups·bits/8, size] U8, weight._scale and weight._shift
    [groups, 1]. Where no bias says how many groups make a row of the weight, nothing does: the
    shape is then [groups, size], of as many elements.
    """
    data, scale = module.get("weight._data._data"), module.get("weight._scale")
    shift, bias = module.get("weight._shift"), module.find("bias")
    groups, size = scale.shape[0], data.shape[1]
    bits = next((n for n in (4, 2) if data.shape[0] == ceil(groups * n / 8)), 0)
    out = bias.shape[0] if bias is not None and len(bias.shape) == 1 and bias.parameters else groups
    layout = Layout((out, groups // out * size), f"quanto-INT{bits}")
    module.check(data.dtype == "U8" and bits > 0, data, layout)
    module.check(scale.shape[1] == 1 and groups % out == 0, scale, layout)
    module.check(shift.shape == scale.shape, shift, layout)
    return layout


def quark(module: Module) -> Layout | None:
    """Quark's 4-bit integers in groups: int32 words along `out`.

    https://quark.docs.amd.com, quark/torch/utils/pack.py (Pack_4_bits): weight [in, out/8] I32,
    weight_scale [groups, out], weight_zero_point [groups, out/8] I32.
    """
    weight, scale = module.get("weight"), module.marked
    if len(scale.shape) != 2 or scale.shape[1] != 8 * weight.shape[1]:
        return None
    layout = Layout((scale.shape[1], weight.shape[0]), "Quark-INT4")
    module.check(0 < scale.shape[0] <= weight.shape[0], scale, layout)
    zeros = module.find("weight_zero_point")
    if zeros is not None:
        module.check(zeros.shape == (scale.shape[0], weight.shape[1]), zeros, layout)
    return layout
