"""What will be left of a model? Its headers after a plan, from shapes alone, before any work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from prunescope.architecture import Model
from prunescope.checkpoint import Checkpoint, TensorInfo
from prunescope.pruning.groups import LAYERS
from prunescope.pruning.targets import Target


def planned(model: Model, targets: Sequence[Target]) -> Checkpoint:
    """The checkpoint that is left when each target has lost `remove` units.

    Which units go is not known yet, so tensors only have the right shapes and lengths; of
    layers the last ones go.
    """
    cuts: Counter[tuple[str, int]] = Counter()
    gone: set[int] = set()
    for target in targets:
        if target.group.kind == LAYERS:
            gone.update(list(model.layers)[target.group.units - target.remove :])
        for member in target.group.members:
            # Each lane loses as many; one that is not a lane of its own has them all.
            remove = target.remove if member.lane is None else target.remove // target.group.lanes
            cuts[member.tensor.name, member.axis] += remove * member.width
        if target.group.layer is None:
            cuts.update(_of_tied(model, target))
    tensors: dict[str, TensorInfo] = {}
    for name, info in model.checkpoint.tensors.items():
        if model.place(name)[0] in gone:
            continue
        shape = tuple(length - cuts[name, axis] for axis, length in enumerate(info.shape))
        owner = tensors.get(info.shared_with) if info.shared_with is not None else None
        # Layers may share a tensor that only one of them has cut.
        shared = owner.name if owner is not None and owner.shape == shape else None
        left = replace(info, shape=shape, shared_with=shared)
        nbytes = info.nbytes * left.parameters // info.parameters if info.parameters else 0
        tensors[name] = replace(left, nbytes=nbytes)
    return replace(model.checkpoint, tensors=tensors)


def planned_parameters(model: Model, targets: Sequence[Target]) -> int | None:
    """Stored parameters that will be left; None where that depends on what is chosen."""
    # A width that was no multiple loses a smaller piece first: a ranking may take it or not.
    is_even = all(t.group.units % t.step == 0 for t in targets if t.free)
    return planned(model, targets).parameters if is_even and is_known(model, targets) else None


def is_known(model: Model, targets: Sequence[Target]) -> bool:
    """Whether all units that are chosen among have as many parameters."""
    for kind in dict.fromkeys(target.group.kind for target in targets):
        free = [t for t in targets if t.group.kind == kind and t.free]
        if kind == LAYERS:
            sizes = {layer_parameters(model, layer) for layer in model.layers} if free else set()
        else:
            sizes = {target.group.unit_parameters for target in free}
        if len(sizes) > 1:
            return False
    return True


def layer_parameters(model: Model, layer: int) -> int:
    """Stored parameters of one layer."""
    return sum(module.parameters for module in model.layers[layer].values())


def _of_tied(model: Model, target: Target) -> dict[tuple[str, int], int]:
    members = {m.tensor.name: m for m in target.group.members}
    return {
        (name, members[owner].axis): target.remove * members[owner].width
        for name, owner in model.checkpoint.shared.items()
        if owner in members
    }
