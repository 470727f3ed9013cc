"""Which layer lost what? Two checkpoints of one family, compared module by module from shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from prunescope.analysis.counts import Counts
from prunescope.architecture import (
    Model,
    Module,
    Role,
    describe_both,
    in_order,
    tabled,
)
from prunescope.checkpoint import Checkpoint
from prunescope.errors import ArchitectureError


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
    """One layer before and after: its modules, norms included, and their total."""

    layer: int
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
    """

    role: Role
    common: float | None
    pruned: tuple[int, ...]
    unpruned: tuple[int, ...]
    outliers: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything two sets of headers tell about pruning."""

    original: Model
    pruned: Model
    layers: tuple[LayerComparison, ...]
    outside: tuple[ModuleComparison, ...]
    parameters: Counts

    def projections(self, role: Role) -> tuple[ModuleComparison, ...]:
        """The modules of `role`, by layer."""
        return tuple(m for layer in self.layers for m in layer.modules if m.role is role)

    def verdicts(self) -> tuple[RoleVerdict, ...]:
        """One verdict for each projection: of the seven in their order, then the others."""
        roles = tabled(m.role for layer in self.layers for m in layer.modules)
        return tuple(_verdict(role, self.projections(role)) for role in roles)


def compare(
    original: Checkpoint, pruned: Checkpoint, layers: Mapping[int, int] | None = None
) -> Comparison:
    """Compare a pruned checkpoint with the original it came from.

    Args:
        layers: pruned layer → the original layer that it is, for every layer of `pruned`, none
            twice; None where they have the same numbers.

    Raises:
        ArchitectureError: an unknown family, two families, or a "pruned" model that is larger
            than its original somewhere.
    """
    before, after = describe_pair(original, pruned)
    left = after.layers
    if layers is not None:
        left = {layers[number]: modules for number, modules in after.layers.items()}
        if len(left) != len(after.layers):
            raise ValueError("two layers of the pruned model are the same one of the original")
    compared = []
    for number in sorted(before.layers.keys() | left.keys()):
        here, there = before.layers.get(number, {}), left.get(number, {})
        modules = tuple(
            _compare(number, role, here.get(role), there.get(role), after)
            for role in _compared(here, there)
        )
        compared.append(LayerComparison(number, modules, _total(modules)))
    outside = tuple(
        _compare(None, role, before.outside.get(role), after.outside.get(role), after)
        for role in _compared(before.outside, after.outside)
    )
    return Comparison(
        before, after, tuple(compared), outside, Counts(before.parameters, after.parameters)
    )


def describe_pair(original: Checkpoint, pruned: Checkpoint) -> tuple[Model, Model]:
    """Name the tensors of both models.

    Raises:
        ArchitectureError: an unknown family, or models of two families or types.
    """
    before, after = describe_both(original, pruned)
    _check_types(before, after)
    return before, after


def _check_types(before: Model, after: Model) -> None:
    if "GGUF" in (before.checkpoint.format, after.checkpoint.format):
        # It names the graph that llama.cpp builds: a Mistral's is `llama`, that of a Llama whose
        # layers differ is `deci`.
        return
    types = [m.checkpoint.config.get("model_type") for m in (before, after)]
    if all(types) and types[0] != types[1]:
        raise ArchitectureError(
            f"{after.checkpoint.path}: model_type {types[1]!r}, the original's is {types[0]!r}"
        )


def _compared(before: Mapping[Role, Module], after: Mapping[Role, Module]) -> list[Role]:
    # Buffers are computed, not learned, and files that hold them are no larger models.
    return [role for role in in_order([*before, *after]) if role is not Role.BUFFER]


def _compare(
    layer: int | None, role: Role, before: Module | None, after: Module | None, pruned: Model
) -> ModuleComparison:
    old, new = (m.shape if m else None for m in (before, after))
    # A tied head may be stored on one side only; that is no growth of the model.
    if new and _grew(old, new) and not (old is None and role is Role.HEAD):
        place = role.title if layer is None else f"{role.title} of layer {layer}"
        raise ArchitectureError(
            f"{pruned.checkpoint.path}: {place} is {_dims(new)}, in the original "
            f"{_dims(old)}: not pruned from it (are the two swapped?)"
        )
    sizes = (m.parameters if m else 0 for m in (before, after))
    return ModuleComparison(layer, role, old, new, Counts(*sizes))


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
    if not retention:
        return RoleVerdict(role, None, (), unpruned, ())
    # Four decimals, as printed: two layers that read alike are alike.
    ((rounded, _),) = Counter(round(r, 4) for r in retention.values()).most_common(1)
    common = next(r for r in retention.values() if round(r, 4) == rounded)
    outliers = tuple((n, r) for n, r in retention.items() if round(r, 4) != rounded)
    return RoleVerdict(role, common, tuple(retention), unpruned, outliers)
