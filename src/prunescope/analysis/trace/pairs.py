"""Which tensors of the two models belong together? By role and axes, whatever their names.

What is fused into one tensor is taken apart: each part is a pair of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from prunescope.analysis.axes import Layout, layout
from prunescope.analysis.trace.fused import part_positions
from prunescope.analysis.trace.matrices import Matrix, read_matrix
from prunescope.architecture import Model, Module, Role, in_order
from prunescope.architecture.labels import parts
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import ArchitectureError


@dataclass(frozen=True)
class Pair:
    """One tensor of both models.

    Attributes:
        axes: the space of each axis; that of each expert is one of its own
            (`expert_channels[3]`), and so is a row of spaces that cannot be taken apart.
        unit: for each axis, the config key of how many rows a unit has there; None for one row.
    """

    role: Role
    axes: tuple[str, ...]
    unit: tuple[str | None, ...]
    original: Matrix
    pruned: Matrix


@dataclass(frozen=True)
class Reader:
    """Opens the tensors of both models.

    Attributes:
        head_dim: rows of a head; None where no config says.
    """

    weights: WeightMap
    before: Model
    after: Model
    head_dim: int | None

    def pairs(
        self, before: Mapping[Role, Module], after: Mapping[Role, Module]
    ) -> tuple[Pair, ...]:
        """The tensors that both have, weights before biases; a tied one under one name.

        Those of more than two axes are none of them: matrices are what is traced. Nor are those
        that no table lists, of a vision tower.

        Raises:
            ArchitectureError: a fused tensor whose parts do not add up as the original's do.
            CheckpointError: weights that cannot be read or compared.
        """
        found: list[Pair] = []
        for role, module in after.items():
            if role is Role.BUFFER or role not in before:
                continue
            originals = {
                self.before.place(t.name)[1]: t
                for t in before[role].tensors
                if t.shared_with is None and len(t.shape) < 3
            }
            for tensor in module.tensors:
                original = originals.get(self.after.place(tensor.name)[1])
                is_known = tensor.name in self.after.places
                if original is None or tensor.shared_with is not None or not is_known:
                    continue
                axes, units = self._axes(tensor.name)
                pair = Pair(
                    role,
                    axes,
                    units,
                    read_matrix(self.weights, self.before, original, role, self.head_dim),
                    read_matrix(self.weights, self.after, tensor, role, self.head_dim),
                )
                found.extend(self._apart(pair))
        order = {role: place for place, role in enumerate(in_order(p.role for p in found))}
        return tuple(sorted(found, key=lambda p: (-len(p.axes), order[p.role])))

    @cached_property
    def _shapes(self) -> tuple[Layout, Layout]:
        return layout(self.before), layout(self.after, self.before)

    def _apart(self, pair: Pair) -> Iterator[Pair]:
        """The pair itself, or one for each part of its fused axis."""
        before, after = pair.original.info.name, pair.pruned.info.name
        labels = self.after.roles[after].axes
        axis = next((i for i, label in enumerate(labels) if len(parts(label)) > 1), None)
        theirs = None if axis is None else part_positions(self._shapes[0], before, axis)
        if axis is None or theirs is None:
            yield pair
            return
        ours = part_positions(self._shapes[1], after, axis)
        if ours is None:
            raise ArchitectureError(
                f"{self.after.checkpoint.path}: tensor {after!r} has "
                f"{pair.pruned.info.shape[axis]} {labels[axis]} entries, which do not fit the "
                "other tensors of its layer (prunescope verify says which of them differ)"
            )
        for number, space in enumerate(parts(labels[axis])):
            name = f"{number + 1}/{len(ours)}"
            axes, units = list(pair.axes), list(pair.unit)
            axes[axis] = space + pair.axes[axis].removeprefix(labels[axis])
            units[axis] = self.after.family.spaces[space].unit
            yield replace(
                pair,
                axes=tuple(axes),
                unit=tuple(units),
                original=pair.original.only(axis, theirs[number], name),
                pruned=pair.pruned.only(axis, ours[number], name),
            )

    def _axes(self, name: str) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
        place, spaces = self.after.places[name], self.after.family.spaces
        names, units = [], []
        for label in self.after.roles[name].axes:
            inside = [spaces[part] for part in parts(label)]
            is_own = place.expert is not None and any(space.per_expert for space in inside)
            names.append(f"{label}[{place.expert}]" if is_own else label)
            units.append(inside[0].unit if inside else None)
        return tuple(names), tuple(units)
