"""What is known of a model's zeros and values: of each tensor, and of any of them together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import isfinite
from operator import add
from typing import Any, TypeVar

from prunescope.analysis.tabular import Tabular, dimensions
from prunescope.analysis.value_statistics import Values
from prunescope.analysis.zero_patterns import Share
from prunescope.architecture import Model, Role, TensorRole, in_order
from prunescope.checkpoint import TensorInfo

_T = TypeVar("_T", Share, Values)
_SHARES = ("two_four", "four_eight", "blocks16", "blocks32", "rows", "columns")
_STATISTICS = ("mean", "std", "minimum", "maximum", "absmax")


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
        values: statistics of the finite values; None where nobody asked for them.
    """

    zeros: Share
    two_four: Share | None
    four_eight: Share | None
    blocks16: Share | None
    blocks32: Share | None
    rows: Share | None
    columns: Share | None
    values: Values | None

    def __add__(self, other: Sparsity) -> Sparsity:
        return Sparsity(
            self.zeros + other.zeros,
            both(self.two_four, other.two_four),
            both(self.four_eight, other.four_eight),
            both(self.blocks16, other.blocks16),
            both(self.blocks32, other.blocks32),
            both(self.rows, other.rows),
            both(self.columns, other.columns),
            both(self.values, other.values),
        )

    def record(self) -> dict[str, Any]:
        """What `--json` says of it: counts with their totals, and statistics."""
        return {
            "zeros": _share(self.zeros),
            **{name: _share(getattr(self, name)) for name in _SHARES},
            "values": self.values and _statistics(self.values),
        }


# Of a model that holds buffers alone.
_NOTHING = Sparsity(Share(0, 0), None, None, None, None, None, None, None)


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

    def row(self) -> dict[str, Any]:
        """One row of the CSV, not rounded."""
        found = self.found.record()
        shares = {name: found[name] and found[name]["share"] for name in _SHARES[:4]}
        values = found["values"] or dict.fromkeys((*_STATISTICS, "nonfinite"))
        counts = {f"empty_{name}": found[name] and found[name]["count"] for name in _SHARES[4:]}
        return {
            "layer": self.layer,
            "module": self.role.role.title,
            "tensor": self.tensor.name,
            "dtype": self.tensor.dtype,
            "shape": dimensions(self.tensor.shape),
            "weights": found["zeros"]["total"],
            "zeros": found["zeros"]["count"],
            "sparsity": found["zeros"]["share"],
            **shares,
            **counts,
            **values,
        }


@dataclass(frozen=True, slots=True)
class ModelSparsity(Tabular):
    """Every stored tensor of a model but buffers, in file order; tied ones once."""

    model: Model
    tensors: tuple[TensorSparsity, ...]

    def rows(self) -> list[dict[str, Any]]:
        """One for each tensor, in the CSV's columns."""
        return [tensor.row() for tensor in self.tensors]

    @property
    def total(self) -> Sparsity:
        """All of them together."""
        return reduce(add, (t.found for t in self.tensors), _NOTHING)

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


def both(one: _T | None, other: _T | None) -> _T | None:
    """Their sum; what only one has, where the other has none."""
    if one is None or other is None:
        return one or other
    return one + other


def _share(share: Share | None) -> dict[str, Any] | None:
    if share is None:
        return None
    return {"count": share.count, "total": share.total, "share": share.ratio}


def _statistics(values: Values) -> dict[str, float | None]:
    """None where there is no number: of nothing, or a spread beyond float64."""
    figures = {name: getattr(values, name) for name in _STATISTICS}
    known = {name: x if values.count and isfinite(x) else None for name, x in figures.items()}
    return known | {"nonfinite": values.nonfinite}
