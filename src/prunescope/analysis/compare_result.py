"""What does a comparison hold? Modules, layers and models before and after, and do layers agree?"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from prunescope.analysis.counts import Counts
from prunescope.analysis.layer_match import LayerMatch
from prunescope.analysis.tabular import Tabular, dimensions, html_table
from prunescope.architecture import Model, Role, tabled

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


# Whose rows are tokens.
VOCABULARY = (Role.EMBEDDING, Role.HEAD)


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
        common: the retention that more pruned layers share than any other (ties: the lowest
            layer's); None when no layer is pruned.
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

    @property
    def spread(self) -> tuple[float, float] | None:
        """The lowest and the highest retention, where most pruned layers are outliers."""
        if self.common is None or 2 * len(self.outliers) <= len(self.pruned):
            return None
        retentions = [self.common, *(retention for _, retention in self.outliers)]
        return min(retentions), max(retentions)


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

    @property
    def tokens_added(self) -> tuple[int, int] | None:
        """Tokens of the original and of the pruned model, where that has more; None elsewhere."""
        shapes = ((m.original_shape, m.pruned_shape) for m in self.outside if m.role in VOCABULARY)
        counts = ((old[0], new[0]) for old, new in shapes if old and new)
        return next(((old, new) for old, new in counts if new > old), None)

    def projections(self, role: Role) -> tuple[ModuleComparison, ...]:
        """The modules of `role`, by layer."""
        return tuple(m for layer in self.layers for m in layer.modules if m.role is role)

    def verdicts(self) -> tuple[RoleVerdict, ...]:
        """One verdict for each projection: of the seven in their order, then the others.

        Of modules that no table knows vectors are taken for norms, and have none.
        """
        modules = [m for layer in self.layers for m in layer.modules]
        matrices = {m.role for m in modules if _is_matrix(m)}
        roles = tabled(m.role for m in modules if not m.role.is_own or m.role in matrices)
        return tuple(_verdict(role, self.projections(role)) for role in roles)


def _is_matrix(module: ModuleComparison) -> bool:
    return any(len(shape or ()) > 1 for shape in (module.original_shape, module.pruned_shape))


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
