"""More packings of a weight [out, in], tensor by tensor as each method's own source lays it out."""

from __future__ import annotations

from math import ceil
from typing import Any

import torch

from tests.support.quantised import Pack, words

Parts = dict[str, torch.Tensor]


def hqq(bits: int, group: int | None, axis: int = 1, as_floats: bool = False) -> Pack:
    """hqq 0.2.8, core/quantize.py (`HQQLinear.state_dict`) and core/bitpack.py."""

    def pack(weight: torch.Tensor) -> Parts:
        matrix = weight.float()
        if group is not None:
            matrix = matrix.reshape(-1, group) if axis == 1 else matrix.reshape(group, -1)
        rows, columns = matrix.shape
        if bits == 3:
            data = torch.zeros(-(-rows // 10), columns, dtype=torch.int32)
        else:
            data = torch.zeros(rows * bits // 8, columns, dtype=torch.uint8)
        scale = torch.ones((rows, 1) if axis == 1 else (1, columns), dtype=torch.bfloat16)
        notes = {"packing": f"{bits}bit_u8", "compute_dtype": "torch.bfloat16"}
        flags = ("view_as_float", "quant_scale", "quant_zero", "offload_meta", "channel_wise")
        return {
            "W_q": data.view(torch.bfloat16) if as_floats else data,
            "scale": scale,
            "zero": scale.clone(),
            "shape": torch.tensor(weight.shape),
            "nbits": torch.tensor(bits, dtype=torch.int32),
            "axis": torch.tensor(axis, dtype=torch.int32),
            **{name: torch.tensor(0, dtype=torch.uint8) for name in flags},
            **{
                name: torch.tensor(list(t.encode()), dtype=torch.uint8) for name, t in notes.items()
            },
        }

    return pack


def quanto(dtype: torch.dtype) -> Pack:
    """optimum-quanto 0.2.7, nn/qmodule.py and tensor/weights/qbytes.py."""

    def pack(weight: torch.Tensor) -> Parts:
        return {
            "weight._data": torch.zeros(weight.shape, dtype=torch.int8).to(dtype),
            "weight._scale": torch.ones(weight.shape[0], 1, dtype=torch.bfloat16),
            "input_scale": torch.ones((), dtype=torch.bfloat16),
            "output_scale": torch.ones((), dtype=torch.bfloat16),
        }

    return pack


def quanto_packed(bits: int, group: int) -> Pack:
    """optimum-quanto 0.2.7, tensor/weights/qbits.py, tensor/packed.py and tensor/grouped.py."""

    def pack(weight: torch.Tensor) -> Parts:
        groups = weight.numel() // group
        scale = torch.ones(groups, 1, dtype=torch.bfloat16)
        return {
            "weight._data._data": torch.zeros(groups * bits // 8, group, dtype=torch.uint8),
            "weight._scale": scale,
            "weight._shift": scale.clone(),
        }

    return pack


def eetq(weight: torch.Tensor) -> Parts:
    """transformers, integrations/eetq.py (`EetqLinear`): transposed."""
    out, columns = weight.shape
    data = torch.zeros(columns, out, dtype=torch.int8)
    return {"weight": data, "weight_scales": torch.ones(out, dtype=torch.float16)}


def fbgemm_fp8(weight: torch.Tensor) -> Parts:
    """transformers, integrations/fbgemm_fp8.py (`FbgemmFp8Linear`), and a bound of inputs."""
    return {
        "weight": torch.zeros(weight.shape).to(torch.float8_e4m3fn),
        "weight_scale": torch.ones(weight.shape[0], 1),
        "input_scale_ub": torch.ones(1),
    }


def aqlm(books: int, bits: int, rows: int, columns: int) -> Pack:
    """aqlm 1.1.7, inference.py (`QuantizedLinear`)."""

    def pack(weight: torch.Tensor) -> Parts:
        out, inner = weight.shape[0] // rows, weight.shape[1] // columns
        kind = torch.int8 if bits <= 8 else torch.int16
        return {
            "codebooks": torch.zeros(books, 1 << bits, rows, columns, dtype=torch.float16),
            "codes": torch.zeros(out, inner, books, dtype=kind),
            "scales": torch.ones(out, 1, 1, 1, dtype=torch.float16),
        }

    return pack


def vptq(weight: torch.Tensor) -> Parts:
    """vptq 0.0.5, layers/vqlinear.py, packed: vectors of 6, of 2^12 and 2^4 (16 bits)."""
    out, columns = weight.shape
    half = torch.float16
    return {
        "centroids.weight": torch.zeros(1, (1 << 12) * 6, dtype=half),
        "res_centroids.weight": torch.zeros(1, (1 << 4) * 6, dtype=half),
        "indices": torch.zeros(1, -(-out // 6), columns * 16 // 32, dtype=torch.int32),
        "perm": torch.zeros(columns, dtype=torch.int16),
        "weight_scale": torch.ones(columns, dtype=half),
        "weight_bias": torch.ones(columns, dtype=half),
    }


def vptq_config(shapes: dict[str, tuple[int, ...]], rows_stated: bool) -> dict[str, Any]:
    """`quantization_config` of modules of these shapes, as `VptqLayerConfig` of transformers."""
    layers = {
        name: {
            "vector_lens": [-1, 6],
            "num_centroids": [-1, 1 << 12],
            "num_res_centroids": [-1, 1 << 4],
            "group_num": 1,
            "group_size": columns,
            "outlier_size": 0,
            "in_features": columns,
            "out_features": out if rows_stated else -1,
        }
        for name, (out, columns) in shapes.items()
    }
    return {"quant_method": "vptq", "config_for_layers": layers}


def higgs(bits: int, group: int) -> Pack:
    """transformers, integrations/higgs.py (`HiggsLinear`)."""

    def pack(weight: torch.Tensor) -> Parts:
        out, columns = weight.shape
        entries, half = 1 << bits, torch.bfloat16
        return {
            "weight": torch.zeros(out * bits // 16, columns, dtype=torch.int16),
            "scales": torch.ones(out, columns // group, dtype=half),
            "tables": torch.zeros(entries, dtype=half),
            "tables2": torch.zeros(entries, entries, 2, dtype=half),
        }

    return pack


def spqr(by_row: bool) -> Pack:
    """spqr_quant 0.2.0, inference.py: CSR offsets, a row each, or PTCSR's, a row of tiles each."""

    def pack(weight: torch.Tensor) -> Parts:
        out, columns = weight.shape
        tiles = -(-out // 16) * -(-columns // 16)
        rows = out if by_row else out // 16
        return {
            "dense_weights": torch.zeros(16 * tiles, dtype=torch.int64),
            "row_offsets": torch.zeros(rows + 1, dtype=torch.int32),
            "col_vals": torch.zeros(40, dtype=torch.int32),
            "in_perm": torch.zeros(columns // 2, dtype=torch.int32),
        }

    return pack


def fp_quant(group: int) -> Pack:
    """fp_quant 0.3.2, module/linear.py (`FPQuantLinear`), without master weights."""

    def pack(weight: torch.Tensor) -> Parts:
        out, columns = weight.shape
        return {
            "qweight": torch.zeros(out, columns // 2, dtype=torch.uint8),
            "scales": torch.zeros(out, columns // group, dtype=torch.uint8),
            "weight_global_scale": torch.ones(1),
            "act_global_scale": torch.ones(1),
            "forward_hadamard_matrix": torch.eye(32),
            "backward_hadamard_matrix": torch.eye(32),
        }

    return pack


def awq_gemv(weight: torch.Tensor) -> Parts:
    """AutoAWQ, modules/linear/gemv.py, groups of 32: in/32 zeros fill at least four words."""
    out, columns = weight.shape
    width = 4 * ceil(columns / 32 / 8 / 4)
    return {
        "qweight": words(torch.zeros(out, columns), 4),
        "qzeros": torch.zeros(out, width, dtype=torch.int32),
        "scales": torch.ones(out, width * 8, dtype=torch.float16),
    }


def quark_int4(weight: torch.Tensor) -> Parts:
    """amd-quark 0.13, torch/utils/pack.py (`Pack_4_bits`), in groups of 32: transposed."""
    out, columns = weight.shape
    return {
        "weight": words(torch.zeros(columns, out), 4),
        "weight_scale": torch.ones(columns // 32, out, dtype=torch.bfloat16),
        "weight_zero_point": words(torch.zeros(columns // 32, out), 4),
    }


def quark_mxfp4(weight: torch.Tensor) -> Parts:
    """amd-quark 0.13: two 4-bit floats a byte, an exponent for each 32."""
    out, columns = weight.shape
    return {
        "weight": torch.zeros(out, columns // 2, dtype=torch.uint8),
        "weight_scale": torch.zeros(out, columns // 32, dtype=torch.uint8),
    }


def metal(weight: torch.Tensor) -> Parts:
    """transformers, integrations/metal_quantization.py, 4 bits in groups of 64."""
    out, columns = weight.shape
    scales = torch.ones(out, columns // 64)
    data = words(torch.zeros(out, columns), 4).view(torch.uint32)
    return {"weight": data, "scales": scales, "qbiases": scales.clone()}


def gemma(bits: int) -> Pack:
    """transformers, integrations/gemma_quant.py (`QuantizedLinear`)."""

    def pack(weight: torch.Tensor) -> Parts:
        out, columns = weight.shape
        return {
            "weight": torch.zeros(out, columns * bits // 8, dtype=torch.uint8),
            "weight_scale": torch.ones(out, 1),
            "input_activation_scale": torch.zeros(()),
            "output_activation_scale": torch.zeros(()),
        }

    return pack
