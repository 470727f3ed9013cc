"""Which zeros make layers of different shapes alike? Heads and channels that add nothing.

A zero channel gives silu(0) · 0 = 0, and its column of down is zero. A zero query head attends to
values that its zero columns of o drop. A query head must keep its KV head, and query head i uses
KV head i // (heads / kv_heads): so zero query heads go behind each KV head's own, and zero KV
heads, with their zero query heads, to the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from prunescope.architecture import Model, labels
from prunescope.architecture.head_counts import takes_heads
from prunescope.errors import CheckpointError
from prunescope.extras import require

if TYPE_CHECKING:
    from torch import Tensor

# (layer, space) → heads, KV heads or channels.
Lengths: TypeAlias = "Mapping[tuple[int, str], int]"


@dataclass(frozen=True, slots=True)
class Padding:
    """What it costs to make layers alike: zeros that are stored and computed with.

    Attributes:
        parameters, nbytes: how many zeros, and their size.
    """

    parameters: int
    nbytes: int


def common_lengths(model: Model, lengths: Lengths) -> dict[tuple[int, str], int]:
    """The smallest lengths, alike in all layers, that hold those of each.

    Heads are a whole number for each KV head, and divide the hidden size where a stock config
    demands it.
    """
    largest: dict[str, int] = {}
    for (_, space), length in lengths.items():
        largest[space] = max(largest.get(space, 0), length)
    if {"heads", "kv_heads"} <= largest.keys():
        shares = (queries_each(model, lengths, layer) for layer in {layer for layer, _ in lengths})
        least = largest["kv_heads"], max(shares)
        largest["heads"], largest["kv_heads"] = _heads(model, *least)
    return {(layer, space): largest[space] for layer, space in lengths}


def padded(
    model: Model, state: Mapping[str, Tensor], lengths: Lengths, target: Lengths
) -> tuple[dict[str, Tensor], Padding]:
    """The tensors of `state` with zeros in the places that `lengths` lack of `target`.

    Args:
        model: gives each tensor's layer and axes.
        state: tensors of `model` with spaces of `lengths`; what needs no zeros is not copied.
    """
    torch = require("torch", "prune")
    from prunescope.interop.lazy_state import in_memory

    lazy = in_memory(state)
    result: dict[str, Tensor] = {}
    parameters = nbytes = 0
    for name, outline in lazy.outlines.items():
        if outline.shared_with is not None:
            result[name] = result[outline.shared_with]
            continue
        tensor = new = lazy[name]
        for axis, places, length in _moves(model, name, lengths, target):
            shape = [*new.shape[:axis], length, *new.shape[axis + 1 :]]
            empty = torch.zeros(shape, dtype=new.dtype, device=new.device)
            new = empty.index_copy_(axis, torch.tensor(places, device=new.device), new)
        parameters += new.numel() - tensor.numel()
        nbytes += new.nbytes - tensor.nbytes
        result[name] = new
    return result, Padding(parameters, nbytes)


def _moves(
    model: Model, name: str, lengths: Lengths, target: Lengths
) -> Iterable[tuple[int, list[int], int]]:
    """Axis, the new place of each of its rows, and its new length, for axes that grow."""
    found = model.family.find(name)
    layer = found[0] if found else None
    if found is None or layer is None:
        return
    for axis, label in enumerate(found[1].axes):
        # Fused projections lie one behind the other on one axis.
        parts = [(layer, space) for space in labels.parts(label)]
        if all(place not in lengths or lengths[place] == target[place] for place in parts):
            continue
        moved: list[int] = []
        start = 0
        for place in parts:
            space = place[1]
            rows = (model.head_dim or 1) if model.family.spaces[space].unit == "head_dim" else 1
            units: Iterable[int] = range(lengths[place])
            if space == "heads":
                share = queries_each(model, lengths, layer)
                new_share = target[layer, "heads"] // target[layer, "kv_heads"]
                units = [unit // share * new_share + unit % share for unit in units]
            moved += [start + unit * rows + row for unit in units for row in range(rows)]
            start += target[place] * rows
        yield axis, moved, start


def queries_each(model: Model, lengths: Lengths, layer: int) -> int:
    """How many query heads each KV head of a layer has.

    Raises:
        CheckpointError: not all of them as many.
    """
    heads, kv_heads = lengths[layer, "heads"], lengths[layer, "kv_heads"]
    if heads % kv_heads:
        cause = f"layer {layer}: {heads} query heads cannot share {kv_heads} KV heads"
        raise CheckpointError(model.checkpoint.path, cause)
    return heads // kv_heads


def _heads(model: Model, kv_heads: int, share: int) -> tuple[int, int]:
    """Heads and KV heads, at least these, that take the fewest parameters."""
    config = model.checkpoint.config
    hidden = config.get("hidden_size")
    bound = hidden if isinstance(hidden, int) and hidden > 0 else kv_heads * share
    choices = [
        (more * each, more)
        for more in range(kv_heads, max(bound, kv_heads) + 1)
        for each in range(share, max(bound // more, share) + 1)
        if takes_heads({**config, "num_attention_heads": more * each})
    ]
    if not choices:
        cause = f"no head count of at least {kv_heads} × {share} divides the hidden size"
        raise CheckpointError(model.checkpoint.path, cause)
    # A query head has rows of q and columns of o, a KV head rows of k and v.
    return min(choices, key=sum)
