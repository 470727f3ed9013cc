"""What do scripts get of zeros and values? One record per tensor, as JSON or as rows of a CSV.

The CSV is UTF-8 with the columns of `COLUMNS`; shares have six decimals, statistics as many digits
as a float64 needs; a cell is empty where a figure has no meaning (the patterns of a vector).
"""

from __future__ import annotations

import csv
from math import isfinite
from pathlib import Path
from typing import Any

from prunescope.analysis.sparsity_result import ModelSparsity, Sparsity, TensorSparsity
from prunescope.analysis.value_statistics import Values
from prunescope.analysis.zero_patterns import Share
from prunescope.atomic import replacing
from prunescope.report.json_output import dump
from prunescope.report.layers import dimensions

_SHARES = ("two_four", "four_eight", "blocks16", "blocks32", "rows", "columns")
_STATISTICS = ("mean", "std", "minimum", "maximum", "absmax")
COLUMNS = (
    "layer", "module", "tensor", "dtype", "shape", "weights", "zeros", "sparsity", "two_four",
    "four_eight", "blocks16", "blocks32", "empty_rows", "empty_columns", *_STATISTICS, "nonfinite",
)  # fmt: skip


def sparsity_json(found: ModelSparsity) -> str:
    """The whole model, each role over all layers, and each tensor."""
    return dump(
        {
            "schema": "prunescope.sparsity/1",
            "model": found.model.checkpoint.path,
            "family": found.model.family.name,
            "generic": found.model.family.is_generic,
            "total": _record(found.total),
            "modules": [
                {"module": role.title, **_record(of)} for role, of in found.by_role().items()
            ],
            "tensors": [
                {
                    "tensor": t.tensor.name,
                    "layer": t.layer,
                    "module": t.role.role.title,
                    "axes": t.role.axes,
                    "shape": t.tensor.shape,
                    "dtype": t.tensor.dtype,
                    **_record(t.found),
                }
                for t in found.tensors
            ],
        }
    )


def write_sparsity_csv(found: ModelSparsity, path: Path) -> None:
    """Write one row per tensor to `path`, replacing it whole.

    Raises:
        PrunescopeError: `path` cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_row(tensor) for tensor in found.tensors)


def _record(found: Sparsity) -> dict[str, Any]:
    return {
        "zeros": _share(found.zeros),
        **{name: _share(getattr(found, name)) for name in _SHARES},
        "values": {**_statistics(found.values), "nonfinite": found.values.nonfinite},
    }


def _statistics(values: Values) -> dict[str, float | None]:
    """None where there is no number: of nothing, or a spread beyond float64."""
    figures = {name: getattr(values, name) for name in _STATISTICS}
    return {name: x if values.count and isfinite(x) else None for name, x in figures.items()}


def _share(share: Share | None) -> dict[str, Any] | None:
    if share is None:
        return None
    return {"count": share.count, "total": share.total, "share": share.ratio}


def _row(tensor: TensorSparsity) -> list[object]:
    found = tensor.found
    patterns = (found.two_four, found.four_eight, found.blocks16, found.blocks32)
    return [
        "" if tensor.layer is None else tensor.layer,
        tensor.role.role.title,
        tensor.tensor.name,
        tensor.tensor.dtype,
        dimensions(tensor.tensor.shape),
        found.zeros.total,
        found.zeros.count,
        f"{found.zeros.ratio:.6f}",
        *("" if share is None else f"{share.ratio:.6f}" for share in patterns),
        *("" if share is None else share.count for share in (found.rows, found.columns)),
        # The csv module writes None as an empty cell.
        *_statistics(found.values).values(),
        found.values.nonfinite,
    ]
