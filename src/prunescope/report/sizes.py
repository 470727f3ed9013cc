"""How does the size check read? A table of models, then the mission's three lines."""

from __future__ import annotations

from collections.abc import Sequence

from prunescope.analysis.size import ModelSize, SizeComparison
from prunescope.checkpoint.types import Adapter
from prunescope.errors import printable
from prunescope.report.console import Screen
from prunescope.report.layers import ties
from prunescope.report.messages import Messages

GIB = 1 << 30


def print_sizes(sizes: Sequence[ModelSize], screen: Screen, say: Messages) -> None:
    """One row per model."""
    screen.section(say("size_title"))
    headers = ["size_model", "size_weights", "size_folder", "size_parameters", "size_dtype"]
    rows = [
        [
            printable(size.path),
            f"{size.weight_bytes / GIB:.2f} GB",
            "-" if size.folder_bytes is None else f"{size.folder_bytes / GIB:.2f} GB",
            f"{size.parameters:,}",
            _dtypes(size, say),
        ]
        for size in sizes
    ]
    screen.table([say(h) for h in headers], rows, ["left", "right", "right", "right", "left"])
    for size in sizes:
        if size.shared:
            screen.line(say("tied", names=ties(size.shared)))
        if size.adapter:
            screen.line(_adapter(size.path, size.adapter, say), "yellow")


def print_comparison(sizes: SizeComparison, screen: Screen, say: Messages) -> None:
    """Both models, then what pruning saved on disk."""
    print_sizes([sizes.original, sizes.pruned], screen, say)
    counts = sizes.weight_bytes
    screen.line()
    screen.line(say("size_original", gib=counts.original / GIB))
    screen.line(say("size_pruned", gib=counts.pruned / GIB))
    screen.line(say("size_saved", gib=counts.removed / GIB, p=100 * counts.sparsity), "bold green")
    parameters = sizes.parameters
    screen.line(say("size_params_saved", n=parameters.removed, p=100 * parameters.sparsity))
    screen.line(say("size_unit"), "dim")


def _dtypes(size: ModelSize, say: Messages) -> str:
    total = size.parameters or 1
    shares = [f"{name} {100 * n / total:.1f}%" for name, n in size.dtypes.items()]
    text = ", ".join(shares) if len(shares) > 1 else "".join(size.dtypes)
    if size.is_quantised and size.bits_per_weight is not None:
        bits = say("size_bits", bits=size.bits_per_weight)
        text += f" ({bits})"
    return text


def _adapter(path: str, adapter: Adapter, say: Messages) -> str:
    base = printable(adapter.base or "?")
    kind = adapter.kind if adapter.rank is None else f"{adapter.kind}, r={adapter.rank}"
    return say("size_adapter", path=printable(path), kind=printable(kind), base=base)
