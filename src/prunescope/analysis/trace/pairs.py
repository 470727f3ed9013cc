"""Which tensors of the two models belong together? By role and axes, whatever their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prunescope.analysis.trace.matrices import Matrix, read_matrix
from prunescope.architecture import Model, Module, Role, in_order
from prunescope.architecture.labels import parts
from prunescope.checkpoint.weights import WeightMap


@dataclass(frozen=True)
class Pair:
    """One tensor of both models.

    Attributes:
        axes: the space of each axis; a row of spaces is one of its own, and so is that of each
            expert (`expert_channels[3]`).
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
            CheckpointError: weights that cannot be read or compared.
        """
        found = []
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
                found.append(
                    Pair(
                        role,
                        axes,
                        units,
                        read_matrix(self.weights, self.before, original, role, self.head_dim),
                        read_matrix(self.weights, self.after, tensor, role, self.head_dim),
                    )
                )
        order = {role: place for place, role in enumerate(in_order(p.role for p in found))}
        return tuple(sorted(found, key=lambda p: (-len(p.axes), order[p.role])))

    def _axes(self, name: str) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
        place, spaces = self.after.places[name], self.after.family.spaces
        names, units = [], []
        for label in self.after.roles[name].axes:
            inside = [spaces[part] for part in parts(label)]
            is_own = place.expert is not None and any(space.per_expert for space in inside)
            names.append(f"{label}[{place.expert}]" if is_own else label)
            units.append(inside[0].unit if inside else None)
        return tuple(names), tuple(units)
