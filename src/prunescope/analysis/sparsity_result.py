"""What is known of a model's zeros and values: of each tensor, and of any of them together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add

from prunescope.analysis.value_statistics import Values
from prunescope.analysis.zero_patterns import Share
from prunescope.architecture import Model, Role, TensorRole, in_order
from prunescope.checkpoint import TensorInfo


@dataclass(frozen=True, slots=True)
class Sparsity:
    """Zeros and values of one tensor, or of several taken together.

    Attributes:
        zeros: elements that are zero (of either sign).
        two_four, four_eight: groups of four (eight) neighbours along the last axis, a linear
            layer's input, of which at least two (four) are zero; None where the axis is no
            multiple of the group, and for vectors.
        blocks16, blocks32: square blocks that hold zeros alone, those cut off by the edge included;
            None for vectors.
        rows, columns: those that hold zeros alone; axes before the last count as rows. None for
            vectors.
        values: statistics of the finite values.
    """

    zeros: Share
    two_four: Share | None
    four_eight: Share | None
    blocks16: Share | None
    blocks32: Share | None
    rows: Share | None
    columns: Share | None
    values: Values

    def __add__(self, other: Sparsity) -> Sparsity:
        return Sparsity(
            self.zeros + other.zeros,
            _both(self.two_four, other.two_four),
            _both(self.four_eight, other.four_eight),
            _both(self.blocks16, other.blocks16),
            _both(self.blocks32, other.blocks32),
            _both(self.rows, other.rows),
            _both(self.columns, other.columns),
            self.values + other.values,
        )


@dataclass(frozen=True, slots=True)
class TensorSparsity:
    """One stored tensor's.

    Attributes:
        layer: its number; None outside the layers.
        role: what it is, and which space each of its axes lies in.
    """

    layer: int | None
    role: TensorRole
    tensor: TensorInfo
    found: Sparsity


@dataclass(frozen=True, slots=True)
class ModelSparsity:
    """Every stored tensor of a model but buffers, in file order; tied ones once."""

    model: Model
    tensors: tuple[TensorSparsity, ...]

    @property
    def total(self) -> Sparsity:
        """All of them together."""
        return reduce(add, (t.found for t in self.tensors))

    def by_role(self) -> dict[Role, Sparsity]:
        """Weights and biases of a role over all layers, in the vocabulary's order."""
        roles = in_order(t.role.role for t in self.tensors)
        return {
            role: reduce(add, (t.found for t in self.tensors if t.role.role is role))
            for role in roles
        }

    def by_module(self) -> dict[tuple[int | None, Role], Sparsity]:
        """Weight and bias of each module together, in file order."""
        modules: dict[tuple[int | None, Role], Sparsity] = {}
        for tensor in self.tensors:
            key = (tensor.layer, tensor.role.role)
            modules[key] = modules[key] + tensor.found if key in modules else tensor.found
        return modules


def _both(one: Share | None, other: Share | None) -> Share | None:
    if one is None or other is None:
        return one or other
    return one + other
