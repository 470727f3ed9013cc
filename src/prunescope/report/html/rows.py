"""What are the rows of the page's large table? Every module of every layer of every model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from prunescope.analysis.compare_result import ModuleComparison
from prunescope.analysis.overview import Overview
from prunescope.analysis.tabular import dimensions

# About 300 bytes each: the page stays under 1.5 MB. `prunescope analyze` has no such bound.
MAX_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class Row:
    """One module; `layer` is -1 outside the layers, so that it sorts first."""

    model: str
    layer: int
    module: str
    original_shape: str
    pruned_shape: str
    original: int
    pruned: int
    retention: float
    sparsity: float


def table_rows(found: Overview, names: Sequence[str]) -> tuple[list[Row], int]:
    """The first `MAX_ROWS` rows, and how many there are beyond.

    Args:
        names: the original's and the models'.
    """
    modules = [
        (name, module)
        for name, one in zip(names[1:], found.models, strict=True)
        for module in (
            *one.comparison.outside,
            *(module for layer in one.comparison.layers for module in layer.modules),
        )
    ]
    rows = [_row(name, module) for name, module in islice(modules, MAX_ROWS)]
    return rows, max(0, len(modules) - MAX_ROWS)


def _row(name: str, module: ModuleComparison) -> Row:
    counts = module.parameters
    return Row(
        name,
        -1 if module.layer is None else module.layer,
        module.role.title,
        dimensions(module.original_shape),
        dimensions(module.pruned_shape),
        counts.original,
        counts.pruned,
        counts.retention,
        counts.sparsity,
    )
