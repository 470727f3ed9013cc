"""How are weights laid out whose numbers are looked up in tables? Indices, tables, and scales."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from prunescope.checkpoint.quantized_module import Layout, Module

# SpQR's tiles are of 16 rows and 16 columns, and each row of one is a word of 64 bits.
_TILE = 16


def aqlm(module: Module) -> Layout | None:
    """Sums of entries of several codebooks, each a block of the weight.

    https://github.com/Vahe1994/AQLM, inference_lib/src/aqlm/inference.py: codebooks
    [codebooks, entries, rows, columns], codes [out/rows, in/columns, codebooks], scales
    [out/rows, 1, 1, 1].
    """
    if module.find("codes") is None or module.find("scales") is None:
        return None
    books, codes = module.get("codebooks", axes=4), module.get("codes", axes=3)
    scales = module.get("scales", axes=4)
    count, entries, rows, columns = books.shape
    bits = count * (entries - 1).bit_length() / (rows * columns)
    layout = Layout((codes.shape[0] * rows, codes.shape[1] * columns), f"AQLM-{bits:.3g}bit")
    module.check(codes.shape[2] == count, codes, layout)
    module.check(scales.shape == (codes.shape[0], 1, 1, 1), scales, layout)
    return layout


def vptq(module: Module) -> Layout | None:
    """Indices of vectors along `out`, 32-bit words of them, and of what is added to these.

    https://github.com/microsoft/VPTQ, vptq/layers/vqlinear.py: centroids.weight
    [codebooks, entries·length], res_centroids.weight like it, indices
    [codebooks, out/length, group·bits/32], perm, weight_scale and weight_bias [in]. config.json
    has the vectors' length and `in` in `config_for_layers`, by the module's name; outliers,
    the first columns, are in tables of their own.
    """
    stated = module.settings.get("config_for_layers")
    own = stated.get(module.stem) if isinstance(stated, Mapping) else None
    lengths = own.get("vector_lens") if isinstance(own, Mapping) else None
    if not isinstance(own, Mapping) or not isinstance(lengths, list) or len(lengths) != 2:
        return None
    books, indices = module.marked, module.get("indices", axes=3)
    length, outliers = lengths[1], own.get("outlier_size", 0)
    rows = own.get("out_features", -1)
    numbers = (length, outliers, rows, own.get("group_size"))
    if any(type(n) is not int or n >= 1 << 31 for n in numbers) or length < 1:
        module.refuse(f"has vectors of {length!r}, {outliers!r} outliers and {rows!r} rows")
    rows = rows if rows > 0 else indices.shape[1] * length
    group = own["group_size"] if own["group_size"] > 0 else 0
    columns = indices.shape[0] * group + max(outliers, 0)
    bits = 0
    for table in (books, module.find("res_centroids.weight")):
        if table is not None:
            fits = len(table.shape) == 2 and not table.shape[1] % length and table.shape[1]
            module.check(bool(fits), table, f"vectors of {length}")
            bits += (table.shape[1] // length - 1).bit_length()
    layout = Layout((rows, columns), f"VPTQ-{bits / length:.3g}bit")
    module.check(indices.shape[1] == ceil(rows / length), indices, layout)
    module.check(indices.shape[2] == ceil(group * bits / 32), indices, layout)
    for part in ("perm", "weight_scale", "weight_bias"):
        row = module.find(part)
        if row is not None:
            module.check(row.shape == (columns,), row, layout)
    return layout


def higgs(module: Module) -> Layout | None:
    """Entries of a table shared by all, in words of 16 bits along `out`.

    transformers, integrations/higgs.py (HiggsLinear): weight [out·bits/16, in] I16, scales
    [out, groups], tables [2^bits], tables2 [2^bits, 2^bits, 2]. `in` is filled up to what its
    rotation takes, 1024 or as config.json says.
    """
    weight, scales, table = module.find("weight"), module.find("scales"), module.marked
    if weight is None or weight.dtype != "I16" or scales is None:
        return None
    weight, scales, table = module.get("weight"), module.get("scales"), module.get("tables", axes=1)
    bits = table.shape[0].bit_length() - 1
    layout = Layout((scales.shape[0], weight.shape[1]), f"HIGGS-{bits}bit")
    module.check(table.shape[0] == 1 << bits and 1 < bits <= 8, table, layout)
    module.check(16 * weight.shape[0] == scales.shape[0] * bits, weight, layout)
    module.check(weight.shape[1] % scales.shape[1] == 0, scales, layout)
    return layout


def spqr(module: Module) -> Layout | None:
    """Tiles of 3-bit weights with their scales, and the sparse rest.

    https://github.com/Vahe1994/SpQR, inference_lib/src/spqr_quant/inference.py: dense_weights
    [tiles·16] I64, in_perm [in/2] (two numbers a word), col_vals, and row_offsets with a number
    for each row and one more, or for each row of tiles. Without in_perm nothing tells which.
    """
    order = module.find("in_perm")
    if order is None or len(order.shape) != 1 or not order.parameters:
        return None
    dense, offsets = module.get("dense_weights", axes=1), module.get("row_offsets", axes=1)
    columns = 2 * order.shape[0]
    for rows in (offsets.shape[0] - 1, (offsets.shape[0] - 1) * _TILE):
        if dense.shape[0] == ceil(rows / _TILE) * ceil(columns / _TILE) * _TILE:
            return Layout((rows, columns), "SpQR-3bit")
    cause = f"has dense_weights {list(dense.shape)}, row_offsets {list(offsets.shape)}"
    return module.refuse(f"{cause} and in_perm {list(order.shape)}, which do not fit together")
