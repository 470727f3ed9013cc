"""How does each quantisation method lay a weight out? One function a method.

Every function takes a module's tensors and gives the shape ([out, in]) and the name of what they
stand for, once their shapes have been checked against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod
from typing import Any, NoReturn

from prunescope.checkpoint.dtypes import DTYPE_BITS
from prunescope.checkpoint.jsonfile import parse_object
from prunescope.checkpoint.types import TensorInfo
from prunescope.checkpoint.weights import small_bytes
from prunescope.errors import CheckpointError

_STATE_BYTES = 4096
# Name, bits of an element, elements that share a scale, and the scale's types.
# MX: https://www.opencompute.org/documents/ocp-microscaling-formats-mx-v1-0-spec-final-pdf
_SMALL_FLOATS = (
    ("NVFP4", 4, 16, ("F8_E4M3",)),
    ("MXFP4", 4, 32, ("U8", "F8_E8M0")),
    ("MXFP6", 6, 32, ("U8", "F8_E8M0")),
)
# MLX's modes → elements that share a scale, where config.json does not say.
_MLX_GROUPS = {"affine": 64, "mxfp4": 32, "mxfp8": 32, "nvfp4": 16}


@dataclass(frozen=True, slots=True)
class Layout:
    """What a module's tensors stand for: a weight's shape, and the name of its encoding."""

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype} weight of {list(self.shape)}"


@dataclass(frozen=True, slots=True)
class Module:
    """The tensors of one quantised module.

    Attributes:
        stem: the module's name.
        marker: the part by which its method was known.
        tensors: all of the checkpoint's.
        settings: `quantization_config` of config.json; empty without one.
        joint: what stands between `stem` and a part's name.
    """

    stem: str
    marker: str
    tensors: Mapping[str, TensorInfo]
    settings: Mapping[str, Any]
    joint: str = "."

    @property
    def marked(self) -> TensorInfo:
        """The tensor by which the method was known."""
        return self.tensors[f"{self.stem}{self.joint}{self.marker}"]

    def find(self, part: str) -> TensorInfo | None:
        """The tensor `<stem><joint><part>`, if there is one."""
        return self.tensors.get(f"{self.stem}{self.joint}{part}")

    def get(self, part: str, axes: int = 2) -> TensorInfo:
        """The tensor `<stem><joint><part>`, which has `axes` axes."""
        tensor = self.find(part)
        if tensor is None:
            self.refuse(f"has no {part}")
        if len(tensor.shape) != axes or not tensor.parameters:
            self.refuse(f"has a {part} of shape {list(tensor.shape)}")
        return tensor

    def refuse(self, cause: str) -> NoReturn:
        """Raise CheckpointError: this module's parts do not fit."""
        raise CheckpointError(self.marked.file, f"quantised module {self.stem!r} {cause}")

    def check(self, fits: bool, part: TensorInfo, expected: object) -> None:
        """Refuse the module unless its tensor `part` `fits`."""
        if not fits:
            self.refuse(f"has {part.name!r} of shape {list(part.shape)}, which fits no {expected}")


def gptq_or_awq(module: Module) -> Layout:
    """int32 words of weights: packed along `in` by GPTQ, along `out` by AWQ.

    GPTQ (https://github.com/AutoGPTQ/AutoGPTQ, nn_modules/qlinear): qweight [in·bits/32, out],
    qzeros [groups, out·bits/32], scales [groups, out], g_idx [in].
    AWQ (https://github.com/casper-hansen/AutoAWQ, modules/linear/gemm.py): qweight
    [in, out·bits/32], qzeros [groups, out·bits/32], scales [groups, out].
    """
    qweight, scales, qzeros = module.get("qweight"), module.get("scales"), module.find("qzeros")
    groups, out = scales.shape
    stated = module.settings.get("bits", module.settings.get("w_bit"))
    # GPTQModel's `dynamic` gives single modules settings other than the model's.
    if type(stated) is not int or "dynamic" in module.settings:
        stated = 0
    bits: float
    if qweight.shape[1] == out:
        method, bits = "GPTQ", (qzeros.shape[-1] * 32 / out if qzeros and qzeros.shape else stated)
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
        module.check(groups == ceil(columns / size), scales, f"{layout} in groups of {size}")
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


def bitsandbytes_8bit(module: Module) -> Layout:
    """LLM.int8() (bitsandbytes, nn/modules.py, Linear8bitLt): weight [out, in] I8, SCB [out]."""
    weight, scale = module.get("weight"), module.get("SCB", axes=1)
    layout = Layout(weight.shape, "bnb-INT8")
    if weight.dtype != "I8":
        module.refuse(f"has a weight of type {weight.dtype}, not I8")
    module.check(scale.shape == weight.shape[:1], scale, layout)
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
        return _small_floats(module, data, scale)
    raw = small_bytes(stored, 16)
    width = DTYPE_BITS.get(stored.dtype, 0) // 8
    if stored.dtype not in ("I32", "I64") or len(raw) != 2 * width:
        module.refuse(f"has a weight_shape of type {stored.dtype} and shape {list(stored.shape)}")
    shape = tuple(int.from_bytes(raw[i : i + width], "little") for i in (0, width))
    words, columns = data.shape[1], shape[1]
    fitting = [
        bits
        for bits in (4, 8, 2, 1, 3, 5, 6, 7)
        # Newer versions fill every word; older ones leave the bits that hold no whole element.
        if words in (ceil(columns * bits / 32), ceil(columns / (32 // bits)))
    ]
    module.check(bool(fitting) and data.shape[0] == shape[0], data, f"weight of {list(shape)}")
    module.check(_scales_fit(scale.shape, shape), scale, f"weight of {list(shape)}")
    return Layout(shape, f"packed-INT{fitting[0]}")


def scaled(module: Module) -> Layout | None:
    """A weight of 8-bit elements, in its own shape, with scales.

    compressed-tensors' int-quantized and float-quantized: weight_scale for the tensor, a row or a
    group. transformers' fine-grained FP8, as DeepSeek stores it (integrations/finegrained_fp8.py):
    weight_scale_inv [out/block, in/block]. ModelOpt's NVFP4: small floats in U8. BitNet
    (integrations/bitnet.py, pack_weights): [out/4, in] U8, of rows a quarter apart.
    """
    weight, scale = module.find("weight"), module.marked
    if weight is None or DTYPE_BITS.get(weight.dtype) != 8:
        return None
    if weight.dtype == "U8" and len(weight.shape) == 2:
        if module.settings.get("quant_method") == "bitnet":
            return Layout((4 * weight.shape[0], weight.shape[1]), "BitNet-2bit")
        return _small_floats(module, weight, scale)
    layout = Layout(weight.shape, "INT8" if weight.dtype == "I8" else "FP8")
    block = module.settings.get("weight_block_size")
    if isinstance(block, list) and len(block) == len(scale.shape) == len(weight.shape):
        expected = tuple(
            ceil(n / b) if type(b) is int and b > 0 else 0
            for n, b in zip(weight.shape, block, strict=True)
        )
        module.check(scale.shape == expected, scale, f"{layout} in blocks of {block}")
    module.check(_scales_fit(scale.shape, weight.shape), scale, layout)
    return layout


def mlx(module: Module) -> Layout | None:
    """MLX's: words of elements along `in`, and a scale for each group of them.

    https://ml-explore.github.io/mlx/build/html/python/_autosummary/mlx.core.quantize.html: weight
    […, in·bits/32] U32, scales […, groups], and biases like them in the mode `affine`. config.json
    says how large a group is, for single modules under their names.
    """
    weight, scales, biases = module.find("weight"), module.marked, module.find("biases")
    if weight is None or weight.dtype != "U32" or not module.settings:
        return None
    own = module.settings.get(module.stem)
    settings = {**module.settings, **(own if isinstance(own, Mapping) else {})}
    mode = settings.get("mode", "affine")
    size = settings.get("group_size")
    if size is None and isinstance(mode, str):
        size = _MLX_GROUPS.get(mode)
    if mode not in _MLX_GROUPS or type(size) is not int or not 0 < size <= 1 << 16:
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


def _scales_fit(scales: tuple[int, ...], weight: tuple[int, ...]) -> bool:
    """Whether elements can share scales: none of their axes is longer than the weight's."""
    filled = (*scales, *[1] * (len(weight) - len(scales)))
    return len(filled) == len(weight) and all(
        0 < s <= n for s, n in zip(filled, weight, strict=True)
    )


def _small_floats(module: Module, data: TensorInfo, scale: TensorInfo) -> Layout:
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
