"""What does the CSV hold? One row per layer and projection, as the mission's snippets expect it.

The format is a contract: UTF-8; the columns of `COLUMNS`; plain numbers without separators; rates
with six decimals; an unpruned module's sparsity exactly 0. Norms and embeddings have no rows.
"""

from __future__ import annotations

import csv
from pathlib import Path

from prunescope.analysis.compare import Comparison
from prunescope.atomic import replacing
from prunescope.report.layers import dimensions

COLUMNS = (
    "层编号",
    "模块名称",
    "原始维度",
    "剪枝后维度",
    "原始参数量",
    "剪枝后参数量",
    "保留率",
    "稀疏度",
)


def write_csv(comparison: Comparison, path: Path) -> None:
    """Write the table to `path`, replacing it whole.

    Raises:
        PrunescopeError: `path` cannot be written.
    """
    roles = [verdict.role for verdict in comparison.verdicts()]
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for layer in comparison.layers:
            for module in sorted(
                (m for m in layer.modules if m.role in roles), key=lambda m: roles.index(m.role)
            ):
                counts = module.parameters
                writer.writerow(
                    [
                        layer.layer,
                        module.role.title,
                        dimensions(module.original_shape),
                        dimensions(module.pruned_shape),
                        counts.original,
                        counts.pruned,
                        f"{counts.retention:.6f}",
                        f"{counts.sparsity:.6f}",
                    ]
                )
