"""What do scripts get of zeros and values? One record per tensor, as JSON or as rows of a CSV.

The CSV is UTF-8 with the columns of `TensorSparsity.row`; shares have six decimals, statistics as
many digits as a float64 needs; a cell is empty where a figure has no meaning (the patterns of a
vector).
"""

from __future__ import annotations

import csv
from pathlib import Path

from prunescope.analysis.sparsity_result import ModelSparsity
from prunescope.atomic import replacing
from prunescope.report.json_output import dump

_ROUNDED = ("sparsity", "two_four", "four_eight", "blocks16", "blocks32")


def sparsity_json(found: ModelSparsity) -> str:
    """The whole model, each role over all layers, and each tensor."""
    return dump(
        {
            "schema": "prunescope.sparsity/1",
            "model": found.model.checkpoint.path,
            "family": found.model.family.name,
            "generic": found.model.family.is_generic,
            "total": found.total.record(),
            "modules": [
                {"module": role.title, **of.record()} for role, of in found.by_role().items()
            ],
            "tensors": [
                {
                    "tensor": t.tensor.name,
                    "layer": t.layer,
                    "module": t.role.role.title,
                    "axes": t.role.axes,
                    "shape": t.tensor.shape,
                    "dtype": t.tensor.dtype,
                    **t.found.record(),
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
        rows = found.rows()
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            # The csv module writes None as an empty cell.
            shares = {name: f"{row[name]:.6f}" for name in _ROUNDED if row[name] is not None}
            writer.writerow(row | shares)
