"""Which tensors of the two models belong together? By role and axes, whatever their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prunescope.analysis.trace.matrices import Matrix, read_matrix
from prunescope.architecture import Model, Module, Role
from prunescope.checkpoint.weights import WeightMap


@dataclass(frozen=True)
class Pair:
    """One tensor of both models.

    Attributes:
        axes: the space of each axis.
    """

    role: Role
    axes: tuple[str, ...]
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

        Raises:
            CheckpointError: weights that cannot be read or compared.
        """
        found = []
        for role, module in after.items():
            if role is Role.BUFFER or role not in before:
                continue
            originals = {len(t.shape): t for t in before[role].tensors if t.shared_with is None}
            for tensor in module.tensors:
                original = originals.get(len(tensor.shape))
                if original is None or tensor.shared_with is not None:
                    continue
                found.append(
                    Pair(
                        role,
                        self.after.roles[tensor.name].axes,
                        read_matrix(self.weights, self.before, original, role, self.head_dim),
                        read_matrix(self.weights, self.after, tensor, role, self.head_dim),
                    )
                )
        order = list(Role)
        return tuple(sorted(found, key=lambda p: (-len(p.axes), order.index(p.role))))
