"""What is removed together? Coupled axes, cut into units, from the family's table.

A unit of the group `attention` is one KV head with its query heads (a GQA group): its rows of
k and v, its `heads / kv_heads` times as many rows of q and columns of o. A unit of `mlp` is one
channel: a row of gate and up, a column of down; of experts, a channel of one of them. A unit of
`hidden` is one index of the hidden dimension in every tensor of the model, one of `layers` a whole
layer.
"""

from __future__ import annotations

from typing import NamedTuple

from prunescope.analysis.record import Gqa
from prunescope.architecture import (
    GroupSpec,
    Model,
    Role,
    labels,
    refuse_generic,
    refuse_more_than_text,
    refuse_other_names,
)
from prunescope.checkpoint import TensorInfo
from prunescope.errors import ArchitectureError

# From here too: who asks for groups needs both.
from prunescope.pruning.group import Group as Group
from prunescope.pruning.group import Member as Member

HIDDEN, LAYERS = "hidden", "layers"


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
    found, experts = _pieces(model, layer, spec, where)
    lengths = {piece.space: piece.length for piece in reversed(found)}
    if set(lengths) != set(spec.spaces) or not any(piece.role is spec.root for piece in found):
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
    elif experts:
        lanes, units = len(experts), units * len(experts)
    # Weights before biases, the root first: the order that `first` grouping refers to.
    found.sort(
        key=lambda piece: (
            piece.role is not spec.root,
            piece.role is spec.root and piece.space != spec.spaces[0],
            len(piece.tensor.shape) < 2,
        )
    )
    members = tuple(
        Member(
            piece.tensor,
            piece.role,
            piece.axis,
            parts[piece.space] * unit_rows[piece.space],
            piece.start,
            None if piece.expert is None else experts.index(piece.expert),
        )
        for piece in found
        if piece.space in parts
    )
    return Group(layer, kind, units, parts, members, totals, lanes, experts)


class _Piece(NamedTuple):
    """A space's rows on an axis, from `start` on; those of one expert where it has its own."""

    tensor: TensorInfo
    role: Role
    axis: int
    space: str
    start: int
    length: int
    expert: int | None


def _pieces(
    model: Model, layer: int, spec: GroupSpec, where: str
) -> tuple[list[_Piece], tuple[int, ...]]:
    """The rows of the group's spaces in the order of the file, fused ones last; and the experts.

    Raises:
        ArchitectureError: the axes do not agree.
    """
    found: list[_Piece] = []
    fused: list[tuple[TensorInfo, Role, int, str]] = []
    lengths: dict[str, int] = {}
    for module in model.layers[layer].values():
        for tensor in module.tensors:
            for axis, label in enumerate(model.roles[tensor.name].axes):
                if not set(labels.parts(label)) & set(spec.spaces):
                    continue
                if len(labels.parts(label)) > 1:
                    fused.append((tensor, module.role, axis, label))
                    continue
                length = lengths.setdefault(label, tensor.shape[axis])
                if length != tensor.shape[axis]:
                    raise ArchitectureError(
                        f"{where}: {tensor.name} has {tensor.shape[axis]} {label} rows, "
                        f"where another tensor has {length}"
                    )
                expert = model.places[tensor.name].expert
                found.append(_Piece(tensor, module.role, axis, label, 0, length, expert))
    for tensor, role, axis, label in fused:
        told = labels.solve(label, tensor.shape[axis], lengths)
        if told is not None:
            lengths.setdefault(*told)
        pieces = [lengths.get(space, 0) for space in labels.parts(label)]
        if sum(pieces) != tensor.shape[axis]:
            raise ArchitectureError(
                f"{where}: {tensor.name} has {tensor.shape[axis]} {label} rows, "
                f"where other tensors leave room for {sum(pieces)}"
            )
        start = 0
        for space, length in zip(labels.parts(label), pieces, strict=True):
            found.append(_Piece(tensor, role, axis, space, start, length, None))
            start += length
    experts = tuple(sorted({piece.expert for piece in found if piece.expert is not None}))
    return found, experts


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
    """Raise ArchitectureError where nothing tells which axes belong together, or the result
    would be no model of transformers."""
    refuse_generic(model, "prune")
    refuse_other_names(model)
    refuse_more_than_text(model.checkpoint.config, model.checkpoint.path)
    if not model.family.prunable:
        raise ArchitectureError(
            f"{model.checkpoint.path}: a {model.family.name} model can be measured, not pruned: "
            "its attention is not like Llama's, or its experts are not stored one by one"
        )
