"""What does the CSV hold? One row per layer and projection, as the mission's snippets expect it.

The format is a contract: UTF-8; the columns of `analysis.compare_result.COLUMNS`; plain numbers
without separators; rates with six decimals; an unpruned module's sparsity exactly 0. Norms and
embeddings have no rows.
"""

from __future__ import annotations

import csv
from pathlib import Path

from prunescope.analysis.compare_result import COLUMNS, Comparison
from prunescope.atomic import replacing


def write_csv(comparison: Comparison, path: Path) -> None:
    """Write the table to `path`, replacing it whole.

    Raises:
        PrunescopeError: `path` cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in comparison.rows():
            rates = {name: f"{row[name]:.6f}" for name in COLUMNS[-2:]}
            writer.writerow(row | rates)
