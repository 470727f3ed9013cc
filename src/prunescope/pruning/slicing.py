"""What is left of each tensor? The kept rows and columns, bit for bit as they were stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from prunescope.architecture import Model
from prunescope.checkpoint.weights import WeightMap
from prunescope.extras import require
from prunescope.interop.torch_tensors import as_tensor
from prunescope.pruning.groups import group_of
from prunescope.pruning.selection import Cut

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch", "prune")


def sliced_state(model: Model, cuts: Sequence[Cut], weights: WeightMap) -> dict[str, Tensor]:
    """The pruned state dict: names, order, dtypes and ties of the original.

    Uncut tensors lie over the map, cut ones are copies.
    """
    kept: dict[str, list[tuple[int, list[int]]]] = defaultdict(list)
    for cut in cuts:
        if cut.target.remove:
            for member in cut.target.group.members:
                rows = cut.target.group.rows(cut.kept, member.width)
                kept[member.tensor.name].append((member.axis, rows))
    state: dict[str, Tensor] = {}
    for name, info in model.checkpoint.tensors.items():
        owner = info.shared_with
        # Layers may share a tensor that only one of them has cut.
        if owner is not None and kept.get(name) == kept.get(owner):
            state[name] = state[owner]
            continue
        tensor = as_tensor(weights, info)
        for axis, rows in kept.get(name, ()):
            tensor = tensor.index_select(axis, torch.tensor(rows))
        state[name] = tensor.contiguous()
    return state


def remaining(model: Model, cuts: Sequence[Cut]) -> dict[tuple[int, str], int]:
    """(layer, space) → heads, KV heads or channels left, for every layer."""
    left: dict[tuple[int, str], int] = {}
    for layer in model.layers:
        for kind in model.family.groups:
            group = group_of(model, layer, kind)
            for space, part in group.parts.items():
                left[layer, space] = group.units * part
    for cut in cuts:
        group = cut.target.group
        for space, part in group.parts.items():
            left[group.layer, space] = len(cut.kept) * part
    return left
