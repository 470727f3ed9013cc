"""Which layer lost what? Two checkpoints of one family, compared module by module from shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prunescope.analysis.counts import Counts
from prunescope.analysis.layer_match import Align, LayerMatch, match_layers
from prunescope.analysis.pair import describe_pair
from prunescope.analysis.tabular import Tabular, dimensions, html_table
from prunescope.architecture import Model, Module, Role, in_order, tabled
from prunescope.architecture.roles import SUBSTITUTES
from prunescope.checkpoint import Checkpoint
from prunescope.errors import ArchitectureError

# Of the CSV and of data frames: a contract that the mission's snippets rely on.
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


@dataclass(frozen=True, slots=True)
class ModuleComparison:
    """One module of one layer before and after.

    Attributes:
        layer: its number in the original; None outside the layers.
        original_shape, pruned_shape: of the weight; None where the model lacks the module.
        parameters: of weight and bias.
    """

    layer: int | None
    role: Role
    original_shape: tuple[int, ...] | None
    pruned_shape: tuple[int, ...] | None
    parameters: Counts


@dataclass(frozen=True, slots=True)
class LayerComparison:
    """One layer before and after: its modules, norms included, and their total.

    Attributes:
        layer: its number in the original.
        position: its number in the pruned model; None where it is gone.
    """

    layer: int
    position: int | None
    modules: tuple[ModuleComparison, ...]
    parameters: Counts


@dataclass(frozen=True, slots=True)
class RoleVerdict:
    """Do the pruned layers agree on how much of one projection they keep?

    Attributes:
        common: the retention most pruned layers share (ties: the lowest layer's); None when no
            layer is pruned.
        pruned, unpruned: layer numbers.
        outliers: pruned layers with another retention, as (layer, retention).
        grown: those of the unpruned layers that have more than they had, such as a bias.
    """

    role: Role
    common: float | None
    pruned: tuple[int, ...]
    unpruned: tuple[int, ...]
    outliers: tuple[tuple[int, float], ...]
    grown: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison(Tabular):
    """Everything two sets of headers tell about pruning.

    Attributes:
        matched: how it was told which layer of the original each pruned layer is.
    """

    original: Model
    pruned: Model
    layers: tuple[LayerComparison, ...]
    outside: tuple[ModuleComparison, ...]
    parameters: Counts
    matched: LayerMatch

    def rows(self) -> list[dict[str, Any]]:
        """One for each layer and projection, in the CSV's columns; rates are not rounded.

        Norms and embeddings have none: they are hardly ever cut, and would make every layer look
        unpruned.
        """
        roles = [verdict.role for verdict in self.verdicts()]
        return [
            dict(zip(COLUMNS, _row(module), strict=True))
            for layer in self.layers
            for module in sorted(
                (m for m in layer.modules if m.role in roles), key=lambda m: roles.index(m.role)
            )
        ]

    def _repr_html_(self) -> str:
        """A row for each layer and one for the model, for a notebook."""
        places = [(str(layer.layer), layer.parameters) for layer in self.layers]
        return html_table(
            f"{self.original.checkpoint.path} → {self.pruned.checkpoint.path}",
            ("layer", "original", "pruned", "retention", "sparsity"),
            [
                (
                    name,
                    f"{c.original:,}",
                    f"{c.pruned:,}",
                    f"{c.retention:.4f}",
                    f"{c.sparsity:.4f}",
                )
                for name, c in [*places, ("model", self.parameters)]
            ],
        )

    @property
    def head_apart(self) -> Counts | None:
        """An output head that only one of the two stores, so that no layer accounts for it."""
        heads = (m for m in self.outside if m.role is Role.HEAD)
        counts = next((m.parameters for m in heads), Counts(0, 0))
        return counts if (counts.original == 0) != (counts.pruned == 0) else None

    def projections(self, role: Role) -> tuple[ModuleComparison, ...]:
        """The modules of `role`, by layer."""
        return tuple(m for layer in self.layers for m in layer.modules if m.role is role)

    def verdicts(self) -> tuple[RoleVerdict, ...]:
        """One verdict for each projection: of the seven in their order, then the others."""
        roles = tabled(m.role for layer in self.layers for m in layer.modules)
        return tuple(_verdict(role, self.projections(role)) for role in roles)


def compare(
    original: Checkpoint,
    pruned: Checkpoint,
    layers: Mapping[int, int] | None = None,
    align: Align = "auto",
) -> Comparison:
    """Compare a pruned checkpoint with the original it came from.

    Args:
        layers: pruned layer → the original layer that it is, for every layer of `pruned`, none
            twice; None where that is to be found out.
        align: how to find it out, as `prunescope.analysis.layer_match` does.

    Raises:
        ArchitectureError: an unknown family, two families, a "pruned" model that is larger than
            its original somewhere; or, with `align="weights"`, layers that cannot be told.
    """
    before, after = describe_pair(original, pruned)
    if layers is None:
        matched = match_layers(before, after, align)
    else:
        if len({layers[number] for number in after.layers}) != len(after.layers):
            raise ValueError("two layers of the pruned model are the same one of the original")
        matched = LayerMatch(layers, "given")
    positions = {matched.layers[number]: number for number in after.layers}
    compared = []
    for number in sorted(before.layers.keys() | positions.keys()):
        position = positions.get(number)
        here = before.layers.get(number, {})
        there = {} if position is None else after.layers[position]
        modules = tuple(
            _compare(number, role, here.get(role), there.get(role), after)
            for role in _compared(here, there)
        )
        compared.append(LayerComparison(number, position, modules, _total(modules)))
    outside = tuple(
        _compare(None, role, before.outside.get(role), after.outside.get(role), after)
        for role in _compared(before.outside, after.outside)
    )
    counts = Counts(before.parameters, after.parameters)
    return Comparison(before, after, tuple(compared), outside, counts, matched)


def _compared(before: Mapping[Role, Module], after: Mapping[Role, Module]) -> list[Role]:
    # Buffers are computed, not learned, and files that hold them are no larger models.
    return [role for role in in_order([*before, *after]) if role is not Role.BUFFER]


def _compare(
    layer: int | None, role: Role, before: Module | None, after: Module | None, pruned: Model
) -> ModuleComparison:
    old, new = (m.shape if m else None for m in (before, after))
    # A tied head may be stored on one side only, under whatever name: that is no growth.
    is_tie = old is None and after is not None and not after.parameters
    if (
        new
        and _grew(old, new)
        and not is_tie
        and not (old is None and role in (Role.HEAD, *SUBSTITUTES))
    ):
        place = role.title if layer is None else f"{role.title} of layer {layer}"
        raise ArchitectureError(
            f"{pruned.checkpoint.path}: {place} is {_dims(new)}, in the original "
            f"{_dims(old)}: not pruned from it (are the two swapped?)"
        )
    sizes = (m.parameters if m else 0 for m in (before, after))
    return ModuleComparison(layer, role, old, new, Counts(*sizes))


def _row(module: ModuleComparison) -> tuple[object, ...]:
    counts = module.parameters
    return (
        module.layer,
        module.role.title,
        dimensions(module.original_shape),
        dimensions(module.pruned_shape),
        counts.original,
        counts.pruned,
        counts.retention,
        counts.sparsity,
    )


def _grew(old: tuple[int, ...] | None, new: tuple[int, ...]) -> bool:
    if old is None or len(old) != len(new):
        return True
    return any(a < b for a, b in zip(old, new, strict=True))


def _dims(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else " × ".join(map(str, shape))


def _total(modules: tuple[ModuleComparison, ...]) -> Counts:
    return Counts(
        sum(m.parameters.original for m in modules), sum(m.parameters.pruned for m in modules)
    )


def _verdict(role: Role, modules: tuple[ModuleComparison, ...]) -> RoleVerdict:
    retention = {m.layer or 0: m.parameters.retention for m in modules if m.parameters.is_pruned}
    unpruned = tuple(m.layer or 0 for m in modules if not m.parameters.is_pruned)
    grown = tuple(m.layer or 0 for m in modules if m.parameters.has_grown)
    if not retention:
        return RoleVerdict(role, None, (), unpruned, (), grown)
    # Four decimals, as printed: two layers that read alike are alike.
    ((rounded, _),) = Counter(round(r, 4) for r in retention.values()).most_common(1)
    common = next(r for r in retention.values() if round(r, 4) == rounded)
    outliers = tuple((n, r) for n, r in retention.items() if round(r, 4) != rounded)
    return RoleVerdict(role, common, tuple(retention), unpruned, outliers, grown)
