"""What can be browsed? A checkpoint's layers and tensors as plain rows, beside the original's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prunescope.analysis.compare_result import Comparison, ModuleComparison
from prunescope.analysis.counts import Counts
from prunescope.analysis.record import GroupRecord, PruningRecord
from prunescope.analysis.tabular import dimensions
from prunescope.architecture import Model, Module, Role
from prunescope.checkpoint import TensorInfo
from prunescope.errors import printable
from prunescope.report.messages import Messages
from prunescope.report.trace_findings import space_title

# A strip longer than this is cut into as many cells, each for several units.
STRIP = 32
_SHADES = "·░▒▓█"


@dataclass(frozen=True, slots=True)
class Strip:
    """Which units of a space were kept: their number, that of all, and a drawing."""

    kept: int
    units: int
    drawn: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the tree.

    Attributes:
        title: what it is, fit for a terminal.
        counts: parameters before and after; the same twice where there is no original.
        shapes: of a module's weight before and after; None where it has none, or is a layer.
        tensors: those of the model that is looked at.
        children: below it.
        strips: space → which of its units were kept, drawn; empty where nothing tells.
    """

    title: str
    counts: Counts
    shapes: tuple[tuple[int, ...] | None, tuple[int, ...] | None] | None = None
    tensors: tuple[TensorInfo, ...] = ()
    children: tuple[Entry, ...] = ()
    strips: Mapping[str, Strip] | None = None

    def matches(self, text: str) -> bool:
        """Whether `text` is in the title or in a tensor's name, in any case."""
        wanted = text.casefold()
        names = (self.title, *(tensor.name for tensor in self.tensors))
        return any(wanted in name.casefold() for name in names)


def of_model(model: Model, layer_title: str) -> tuple[Entry, ...]:
    """The entries of one checkpoint, layers first.

    Args:
        layer_title: what a layer is called; its number follows.
    """
    layers = (
        _group(f"{layer_title} {number}", [_module(m) for m in modules.values()])
        for number, modules in model.layers.items()
    )
    outside = (_module(module) for module in model.outside.values())
    return (*layers, *outside, *map(_stranger, model.strangers))


def of_pair(
    comparison: Comparison, record: PruningRecord | None, layer_title: str
) -> tuple[Entry, ...]:
    """The entries of a pruned model beside its original, layers first.

    Args:
        record: what pruning.json says was kept; None where there is none.
    """
    found = comparison.pruned.layers
    layers = []
    for layer in comparison.layers:
        modules = found.get(layer.layer, {})
        children = [_compared(module, modules) for module in layer.modules]
        strips = _strips(record.layers.get(layer.layer, {})) if record else {}
        layers.append(_group(f"{layer_title} {layer.layer}", children, strips))
    outside = comparison.pruned.outside
    return (*layers, *(_compared(module, outside) for module in comparison.outside))


def strip(kept: Sequence[int], units: int) -> str:
    """`█` for a unit that stays, `·` for one that went; shades where a cell is several units."""
    cells = min(units, STRIP)
    stays = [False] * units
    for unit in kept:
        if unit < units:
            stays[unit] = True
    drawn = []
    for cell in range(cells):
        part = stays[cell * units // cells : (cell + 1) * units // cells]
        share = sum(part) / len(part)
        # Only a full cell is drawn full, and only an empty one empty.
        inner = 1 + min(int(share * 3), 2)
        drawn.append(_SHADES[-1] if share == 1 else _SHADES[0] if not share else _SHADES[inner])
    return "".join(drawn)


def _strips(groups: Mapping[str, GroupRecord]) -> dict[str, Strip]:
    drawn = {}
    for group in groups.values():
        for space, kept in group.kept.items():
            each = len(kept) // max(group.units - group.removed, 1) or 1
            units = group.units * each
            drawn[space] = Strip(len(kept), units, strip(kept, units))
    return drawn


def _group(
    title: str, children: Sequence[Entry], strips: Mapping[str, Strip] | None = None
) -> Entry:
    counts = Counts(
        sum(child.counts.original for child in children),
        sum(child.counts.pruned for child in children),
    )
    return Entry(title, counts, children=tuple(children), strips=strips)


def _module(module: Module) -> Entry:
    shape, n = module.shape, module.parameters
    return Entry(module.role.title, Counts(n, n), (shape, shape), module.tensors)


def _stranger(tensor: TensorInfo) -> Entry:
    n = tensor.parameters if tensor.shared_with is None else 0
    return Entry(printable(tensor.name), Counts(n, n), (tensor.shape, tensor.shape), (tensor,))


def _compared(module: ModuleComparison, present: Mapping[Role, Module]) -> Entry:
    tensors = present[module.role].tensors if module.role in present else ()
    shapes = (module.original_shape, module.pruned_shape)
    return Entry(module.role.title, module.parameters, shapes, tensors)


def described(entry: Entry, say: Messages) -> list[tuple[str, str]]:
    """The details of an entry, as (heading, text)."""
    counts = entry.counts
    rows = [
        (say("original_parameters"), f"{counts.original:,}"),
        (say("pruned_parameters"), f"{counts.pruned:,}"),
        (say("retention"), f"{counts.retention:.4f}"),
        (say("sparsity"), f"{counts.sparsity:.4f}"),
    ]
    if entry.shapes is not None:
        rows.append((say("original_shape"), dimensions(entry.shapes[0])))
        rows.append((say("pruned_shape"), dimensions(entry.shapes[1])))
    for space, found in (entry.strips or {}).items():
        heading = say("browse_kept", space=space_title(space, say), n=found.kept, of=found.units)
        rows.append((heading, found.drawn))
    for tensor in entry.tensors:
        where = f"{tensor.dtype} {list(tensor.shape)}  {tensor.nbytes:,} B"
        if tensor.shared_with is not None:
            where += f"  = {tensor.shared_with}"
        rows.append((printable(tensor.name), printable(where)))
    return rows
