"""What should have been pruned? As the user says, as pruning.json says, or as shapes suggest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prunescope.analysis.axes import Layout
from prunescope.analysis.checks.check import Source
from prunescope.analysis.record import PruningRecord
from prunescope.architecture import Model
from prunescope.errors import PlanError

TOLERANCE = 0.005


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a user says of the plan; None where nothing is said.

    Attributes:
        layers: half-open range of the layers that are pruned, in every group.
        sparsity: of the whole model: 1 − pruned / original parameters.
        ratio: share of the units of each pruned group that went (`--pruning_ratio`).
        tolerance: how far `sparsity` and `ratio` may be missed, absolutely.
    """

    layers: tuple[int, int] | None = None
    sparsity: float | None = None
    ratio: float | None = None
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        for name, value in (("sparsity", self.sparsity), ("ratio", self.ratio)):
            if value is not None and not 0 <= value < 1:
                raise PlanError(f"expected {name} {value} is not in [0, 1)")
        if not 0 <= self.tolerance < 1:
            raise PlanError(f"tolerance {self.tolerance} is not in [0, 1)")
        if self.layers is not None and not 0 <= self.layers[0] < self.layers[1]:
            start, end = self.layers
            raise PlanError(f"layer range {start}:{end} (half open) is empty")

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is said."""
        return self.layers is None and self.sparsity is None and self.ratio is None


@dataclass(frozen=True, slots=True)
class Expectation:
    """Which layers should have been cut.

    Attributes:
        source: who says so.
        cut: group → layers that should have lost units.
        wanted: what else the user says.
        record: what else pruning.json says.
        kept: the original's numbers of the layers that are left; None where they still have them.
    """

    source: Source
    cut: Mapping[str, frozenset[int]]
    wanted: Wanted
    record: PruningRecord | None
    kept: Sequence[int] | None = None


def expect(
    wanted: Wanted,
    record: PruningRecord | None,
    before: Layout,
    after: Layout,
    original: Model,
    kept: Sequence[int] | None = None,
) -> Expectation:
    """Options come before pruning.json, that before what the shapes suggest.

    Args:
        before: the layers of the original that should be left, under the pruned model's numbers.
        original: all of it; a range that the user names is one of its layers.
        kept: as `Expectation` has it.

    Raises:
        PlanError: a layer range that goes past the original's layers.
    """
    groups = before.model.family.groups
    layers = before.model.layers
    if wanted.layers is not None:
        named = range(*wanted.layers)
        if named[-1] not in original.layers:
            raise PlanError(
                f"layer range {named.start}:{named.stop} (half open) goes past the original's "
                f"layers, {min(original.layers)}..{max(original.layers)}"
            )
        left = zip(named, named, strict=True) if kept is None else enumerate(kept)
        cut = frozenset(number for number, layer in left if layer in named)
        return Expectation("options", dict.fromkeys(groups, cut), wanted, record, kept)
    if record is not None:
        told = {g: record.cut(g) for g in groups}
        if kept is not None and record.kept_layers is None:
            # It was written before the layers went, and has the original's numbers.
            moved = [*enumerate(kept)]
            told = {g: frozenset(n for n, layer in moved if layer in told[g]) for g in groups}
        return Expectation("pruning.json", told, wanted, record, kept)
    seen = {name: frozenset(n for n in layers if is_cut(before, after, n, name)) for name in groups}
    return Expectation("inferred", seen, wanted, record, kept)


def is_gone(before: Layout, after: Layout, layer: int, spaces: Sequence[str]) -> bool:
    """Whether a layer had all of `spaces`, and has none of them left."""
    return all(
        before.rows(layer, space) is not None and after.rows(layer, space) is None
        for space in spaces
    )


def is_cut(before: Layout, after: Layout, layer: int, group: str) -> bool:
    """Whether a space of the group `group` has fewer rows than the original's, or all are gone."""
    spaces = before.model.family.groups[group].spaces
    if is_gone(before, after, layer, spaces):
        return True
    for space in spaces:
        for _, name in before.of_space(layer, space):
            old, new = before.rows(layer, name), after.rows(layer, name)
            if old is not None and new is not None and new < old:
                return True
    return False
