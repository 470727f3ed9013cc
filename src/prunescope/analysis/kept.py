"""Which heads and channels are left of each layer, and whereabouts were the ones that went?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from prunescope.analysis.axes import Layout, layout
from prunescope.analysis.record import PruningRecord
from prunescope.analysis.trace.results import Trace
from prunescope.architecture import Model

Source = Literal["trace", "pruning.json"]
# (layer, space) → the original indices of what is left; None where they are not known.
Known = Mapping[tuple[int, str], "Sequence[int] | None"]


@dataclass(frozen=True, slots=True)
class KeptUnits:
    """What is left of one space of one layer.

    Attributes:
        layer: its number in the original.
        space: `heads`, `kv_heads`, `channels`, …
        original, left: units before and after.
        kept: the original indices of what is left, ascending; None where nobody tells.
    """

    layer: int
    space: str
    original: int
    left: int
    kept: Sequence[int] | None

    def shares(self, most: int) -> tuple[float, ...] | None:
        """The share of units kept in each of at most `most` equal stretches of the original.

        A space of no more units than that has one stretch for each, 0 or 1. None where `kept` is.
        """
        if self.kept is None:
            return None
        bins = min(most, self.original)
        if self.left == self.original:
            return (1.0,) * bins
        counts = [0] * bins
        for unit in self.kept:
            counts[unit * bins // self.original] += 1
        # Where stretch b begins: the first unit u with u · bins // original = b.
        starts = [-(-b * self.original // bins) for b in range(bins + 1)]
        return tuple(n / (starts[b + 1] - starts[b]) for b, n in enumerate(counts))


@dataclass(frozen=True, slots=True)
class Kept:
    """What is left of all layers' spaces.

    Attributes:
        source: who tells which units: the weights, or pruning.json; None where nobody does.
        units: by layer, then space.
    """

    source: Source | None
    units: tuple[KeptUnits, ...]


def kept_units(
    original: Model,
    pruned: Model,
    record: PruningRecord | None = None,
    trace: Trace | None = None,
    matched: Mapping[int, int] | None = None,
) -> Kept:
    """Units of each layer of the original: from a trace of the weights, else from pruning.json.

    A source whose indices do not fit the shapes is not believed in that place. Layers that are
    gone have nothing left.

    Args:
        matched: pruned layer → original layer, for where there is no trace; by number by default.
    """
    before, after = layout(original), layout(pruned, original)
    source: Source | None = "trace" if trace else "pruning.json" if record else None
    places = {layer: n for n, layer in (matched or {n: n for n in pruned.layers}).items()}
    known: Known = {}
    if trace is not None:
        places = {one.layer: one.position for one in trace.layers if one.layer is not None}
        known = {
            (one.layer, name): space.kept
            for one in trace.layers
            if one.layer is not None
            for name, space in one.spaces.items()
        }
    elif record is not None:
        known = {
            (number, space): kept
            for number, groups in record.layers.items()
            for group in groups.values()
            for space, kept in group.kept.items()
        }
    units = []
    for layer in original.layers:
        for space, spec in original.family.spaces.items():
            if not spec.per_layer or (layer, space) not in before.axes:
                continue
            total = before.units(layer, space)
            left = _left(after, places.get(layer), space)
            if total is not None and left is not None and left <= total:
                kept = _believed(known.get((layer, space)), total, left)
                units.append(KeptUnits(layer, space, total, left, kept))
    return Kept(source, tuple(units))


def _left(after: Layout, layer: int | None, space: str) -> int | None:
    if layer is None or (layer, space) not in after.axes:
        return 0
    return after.units(layer, space)


def _believed(kept: Sequence[int] | None, total: int, left: int) -> Sequence[int] | None:
    if left in (0, total):
        return range(left)
    found = set(kept or ())
    if len(found) != left or min(found) < 0 or max(found) >= total:
        return None
    return tuple(sorted(found))
