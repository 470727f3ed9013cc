"""What is removed together? Coupled axes of one layer, cut into units, from the family's table.

A unit of the group `attention` is one KV head with its query heads (a GQA group): its rows of
k and v, its `heads / kv_heads` times as many rows of q and columns of o. A unit of `mlp` is one
channel: a row of gate and up, a column of down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prunescope.architecture import Model, Role, refuse_generic
from prunescope.checkpoint import TensorInfo
from prunescope.errors import ArchitectureError


@dataclass(frozen=True, slots=True)
class Member:
    """One axis of one tensor that a group cuts.

    Attributes:
        axis: which axis.
        width: how many rows (or columns) one unit has on it.
    """

    tensor: TensorInfo
    role: Role
    axis: int
    width: int


@dataclass(frozen=True, slots=True)
class Group:
    """The coupled axes of one layer.

    Attributes:
        kind: `attention` or `mlp`.
        units: how many units there are to choose from.
        parts: space → how many of its own units (heads, channels) one unit of the group has.
        members: what is cut; the root's weight first, as in LLM-Pruner.
    """

    layer: int
    kind: str
    units: int
    parts: Mapping[str, int]
    members: tuple[Member, ...]

    def rows(self, kept: list[int], width: int) -> list[int]:
        """Indices along an axis with `width` rows a unit, for the units `kept`."""
        return [unit * width + row for unit in kept for row in range(width)]


def group_of(model: Model, layer: int, kind: str) -> Group:
    """The group `kind` of layer `layer`.

    Raises:
        ArchitectureError: the layer lacks one of the group's modules, or its axes do not agree.
    """
    refuse_generic(model, "prune")
    if not model.family.prunable:
        raise ArchitectureError(
            f"{model.checkpoint.path}: a {model.family.name} model can be measured, not pruned: "
            "its projections are fused, or it has experts, or no attention like Llama's"
        )
    spec, spaces = model.family.groups[kind], model.family.spaces
    where = f"{model.checkpoint.path}: layer {layer}"
    lengths: dict[str, int] = {}
    found: list[tuple[TensorInfo, Role, int, str]] = []
    for module in model.layers[layer].values():
        for tensor in module.tensors:
            for axis, space in enumerate(model.roles[tensor.name].axes):
                if space not in spec.spaces:
                    continue
                length = lengths.setdefault(space, tensor.shape[axis])
                if length != tensor.shape[axis]:
                    raise ArchitectureError(
                        f"{where}: {tensor.name} has {tensor.shape[axis]} {space} rows, "
                        f"where another tensor has {length}"
                    )
                found.append((tensor, module.role, axis, space))
    if set(lengths) != set(spec.spaces) or not any(role is spec.root for _, role, _, _ in found):
        raise ArchitectureError(f"{where}: no complete {kind}")
    unit_rows = {s: _rows_of_unit(model, spaces[s].unit, where) for s in spec.spaces}
    for space, length in lengths.items():
        if not length or length % unit_rows[space]:
            raise ArchitectureError(
                f"{where}: {length} {space} rows are no whole number of {unit_rows[space]}"
            )
    units = lengths[spec.spaces[0]] // unit_rows[spec.spaces[0]]
    parts: dict[str, int] = {}
    for space in spec.spaces:
        count = lengths[space] // unit_rows[space]
        if count % units:
            raise ArchitectureError(f"{where}: {count} {space} cannot share {units} units evenly")
        parts[space] = count // units
    members = [
        Member(tensor, role, axis, parts[space] * unit_rows[space])
        for tensor, role, axis, space in found
    ]
    # Weights before biases, the root first: the order that `first` grouping refers to.
    members.sort(key=lambda m: (m.role is not spec.root, len(m.tensor.shape) < 2))
    return Group(layer, kind, units, parts, tuple(members))


def _rows_of_unit(model: Model, key: str | None, where: str) -> int:
    if key is None:
        return 1
    if key != "head_dim" or model.head_dim is None:
        if not model.checkpoint.config:
            raise ArchitectureError(f"{where}: {key} is not known without a config.json")
        raise ArchitectureError(f"{where}: config.json does not give {key}")
    return model.head_dim
