"""What is left of each tensor? The kept rows and columns, bit for bit as they were stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from prunescope.architecture import Model
from prunescope.checkpoint import TensorInfo
from prunescope.checkpoint.weights import WeightMap
from prunescope.extras import require
from prunescope.interop.lazy_state import LazyState, Outline
from prunescope.interop.torch_tensors import DTYPES, as_tensor
from prunescope.pruning.groups import HIDDEN, LAYERS, group_of
from prunescope.pruning.selection import Cut

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch", "prune")

# The axes of a tensor that are cut, and the indices that are left.
_Kept = Sequence[tuple[int, Sequence[int]]]


def sliced_state(model: Model, cuts: Sequence[Cut], weights: WeightMap) -> LazyState:
    """The pruned state dict: order, dtypes and ties of the original, layers renumbered.

    Nothing is read until a tensor is asked for: then an uncut one lies over the map, and a cut
    one is a copy, made anew each time.
    """
    kept = _kept(model, cuts)
    names = renumbered(model, cuts)
    sources: dict[str, tuple[TensorInfo, _Kept]] = {}
    outlines: dict[str, Outline] = {}
    for name, info in model.checkpoint.tensors.items():
        if name not in names:
            continue
        owner = info.shared_with
        # Layers may share a tensor that only one of them has cut, or of which one is gone.
        is_shared = owner in names and kept.get(name, []) == kept.get(owner or "", [])
        shape = list(info.shape)
        for axis, rows in kept.get(name, ()):
            shape[axis] = len(rows)
        sources[names[name]] = info, kept.get(name, ())
        tied = names[owner] if owner is not None and is_shared else None
        outlines[names[name]] = Outline(tuple(shape), DTYPES[info.dtype], tied)

    def make(name: str) -> Tensor:
        info, cut = sources[name]
        tensor = as_tensor(weights, info)
        for axis, rows in cut:
            tensor = tensor.index_select(axis, torch.tensor(rows))
        return tensor.contiguous()

    copied = [name for name, (_, cut) in sources.items() if cut]
    return LazyState(outlines, make, weights.release, copied)


def _kept(model: Model, cuts: Sequence[Cut]) -> dict[str, list[tuple[int, Sequence[int]]]]:
    kept: dict[str, list[tuple[int, Sequence[int]]]] = defaultdict(list)
    for cut in cuts:
        group = cut.target.group
        if len(cut.kept) == group.units:
            continue
        for (name, axis), rows in group.left_by_axis(cut.kept).items():
            kept[name].append((axis, rows))
        if group.kind == HIDDEN:
            for name, owner in model.checkpoint.shared.items():
                kept[name] = kept[owner]
    return dict(kept)


def renumbered(model: Model, cuts: Sequence[Cut]) -> dict[str, str]:
    """Name → name in the pruned model, of every tensor that is left."""
    left = kept_layers(model, cuts)
    numbers = {layer: number for number, layer in enumerate(left)} if left is not None else None
    names = {}
    for name in model.checkpoint.tensors:
        layer, _ = model.place(name)
        if layer is None or numbers is None:
            names[name] = name
        elif layer in numbers:
            # An expert's number, where there is one, comes later.
            names[name] = name.replace(f".{layer}.", f".{numbers[layer]}.", 1)
    return names


def kept_layers(model: Model, cuts: Sequence[Cut]) -> list[int] | None:
    """The original's numbers of the layers that are left; None where layers are not chosen."""
    layers = list(model.layers)
    chosen = [cut for cut in cuts if cut.target.group.kind == LAYERS]
    return [layers[unit] for cut in chosen for unit in cut.kept] if chosen else None


def remaining(model: Model, cuts: Sequence[Cut]) -> dict[tuple[int, str], int]:
    """(layer, space) → heads, KV heads or channels left, for every layer that is left."""
    left: dict[tuple[int, str], int] = {}
    for layer in model.layers:
        for kind in model.family.groups:
            group = group_of(model, layer, kind)
            for space, count in group.lengths(group.units).items():
                left[layer, space] = count
    for cut in cuts:
        group = cut.target.group
        if group.layer is not None:
            for space, count in group.lengths(len(cut.kept)).items():
                left[group.layer, space] = count
    layers = kept_layers(model, cuts)
    if layers is not None:
        spaces = {space for _, space in left}
        left = {
            (number, space): left[layer, space]
            for number, layer in enumerate(layers)
            for space in spaces
        }
    return left
