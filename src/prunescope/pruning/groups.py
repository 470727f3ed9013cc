"""What is removed together? Coupled axes, cut into units, from the family's table.

A unit of the group `attention` is one KV head with its query heads (a GQA group): its rows of
k and v, its `heads / kv_heads` times as many rows of q and columns of o. A unit of `mlp` is one
channel: a row of gate and up, a column of down. A unit of `hidden` is one index of the hidden
dimension in every tensor of the model, one of `layers` a whole layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prunescope.analysis.record import Gqa
from prunescope.architecture import Model, Role, refuse_generic
from prunescope.checkpoint import TensorInfo
from prunescope.errors import ArchitectureError

HIDDEN, LAYERS = "hidden", "layers"


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
    """The coupled axes of one layer, or of the whole model.

    Attributes:
        layer: None for a group of the whole model.
        kind: `attention`, `mlp`, `hidden` or `layers`.
        units: how many units there are to choose from.
        parts: space → how many of its own units (heads, channels) one unit of the group has.
        members: what is cut; the root's weight first, as in LLM-Pruner.
        totals: space → its own units, where they are more than those in the group's units: the
            rest stays.
        lanes: equal runs of consecutive units of which each loses as many.
    """

    layer: int | None
    kind: str
    units: int
    parts: Mapping[str, int]
    members: tuple[Member, ...]
    totals: Mapping[str, int] = field(default_factory=dict)
    lanes: int = 1

    def rows(self, kept: Sequence[int], width: int) -> list[int]:
        """Indices along an axis with `width` rows a unit, for the units `kept`."""
        return [unit * width + row for unit in kept for row in range(width)]

    def left_of(self, member: Member, kept: Sequence[int]) -> list[int]:
        """Indices along `member`'s axis that are left with the units `kept`."""
        length = member.tensor.shape[member.axis]
        return self.rows(kept, member.width) + list(range(self.units * member.width, length))

    def left(self, kept: Sequence[int]) -> dict[str, list[int]]:
        """Space → its own units (heads, channels) that are left with the group's units `kept`."""
        left = {
            space: self.rows(kept, part)
            + list(range(self.units * part, self.totals.get(space, self.units * part)))
            for space, part in self.parts.items()
        }
        whole = {space: list(range(n)) for space, n in self.totals.items() if space not in left}
        return whole | left

    @property
    def unit_parameters(self) -> int:
        """Stored parameters that go with one unit."""
        return sum(
            member.tensor.parameters // member.tensor.shape[member.axis] * member.width
            for member in self.members
            if member.tensor.shared_with is None
        )


def group_of(model: Model, layer: int, kind: str, gqa: Gqa = "group") -> Group:
    """The group `kind` of layer `layer`.

    Args:
        gqa: what a unit is where the group has two spaces of which one is shared, as attention
            has KV heads and query heads.

    Raises:
        ArchitectureError: the layer lacks one of the group's modules, or its axes do not agree.
    """
    check_prunable(model)
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
    counts = {space: lengths[space] // unit_rows[space] for space in spec.spaces}
    for space, count in counts.items():
        if count % units:
            raise ArchitectureError(f"{where}: {count} {space} cannot share {units} units evenly")
    parts = {space: count // units for space, count in counts.items()}
    totals, lanes = {}, 1
    if len(counts) > 1 and gqa == "naive":
        parts, totals = dict.fromkeys(counts, 1), counts
    elif len(counts) > 1 and gqa == "query":
        *_, last = counts
        parts, totals, lanes, units = {last: 1}, counts, units, counts[last]
    members = [
        Member(tensor, role, axis, parts[space] * unit_rows[space])
        for tensor, role, axis, space in found
        if space in parts
    ]
    # Weights before biases, the root first: the order that `first` grouping refers to.
    members.sort(key=lambda m: (m.role is not spec.root, len(m.tensor.shape) < 2))
    return Group(layer, kind, units, parts, tuple(members), totals, lanes)


def hidden_group(model: Model) -> Group:
    """Every axis of the model that lies in its hidden dimension; the first layer's norm is first.

    Of tensors that share their bytes, the one that holds them.

    Raises:
        ArchitectureError: no tensor has such an axis, or two differ in length.
    """
    check_prunable(model)
    if model.family.name.startswith("gemma"):
        raise ArchitectureError(
            f"{model.checkpoint.path}: a {model.family.name} model scales its embedding by the "
            "hidden size: cutting that would change every activation"
        )
    members: list[Member] = []
    for name, role in model.roles.items():
        tensor = model.checkpoint.tensors[name]
        if tensor.shared_with is None:
            axes = [axis for axis, space in enumerate(role.axes) if space == HIDDEN]
            members.extend(Member(tensor, role.role, axis, 1) for axis in axes)
    where = model.checkpoint.path
    if not members:
        raise ArchitectureError(f"{where}: no tensor has the hidden dimension")
    members.sort(key=lambda m: m.role is not Role.INPUT_NORM)
    units = members[0].tensor.shape[members[0].axis]
    for member in members:
        length = member.tensor.shape[member.axis]
        if length != units:
            raise ArchitectureError(
                f"{where}: {member.tensor.name} has {length} {HIDDEN} entries, "
                f"where another tensor has {units}"
            )
    return Group(None, HIDDEN, units, {HIDDEN: 1}, tuple(members))


def layers_group(model: Model) -> Group:
    """The layers themselves: unit i is the i-th, and has no axis to cut."""
    return Group(None, LAYERS, len(model.layers), {LAYERS: 1}, ())


def _rows_of_unit(model: Model, key: str | None, where: str) -> int:
    if key is None:
        return 1
    if key != "head_dim" or model.head_dim is None:
        if not model.checkpoint.config:
            raise ArchitectureError(f"{where}: {key} is not known without a config.json")
        raise ArchitectureError(f"{where}: config.json does not give {key}")
    return model.head_dim


def check_prunable(model: Model) -> None:
    """Raise ArchitectureError where nothing tells which axes belong together, or they are fused."""
    refuse_generic(model, "prune")
    if not model.family.prunable:
        raise ArchitectureError(
            f"{model.checkpoint.path}: a {model.family.name} model can be measured, not pruned: "
            "its projections are fused, or it has experts, or no attention like Llama's"
        )
