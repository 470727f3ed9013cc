"""What is left of one layer, and of what lies outside the layers?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import TYPE_CHECKING, Any

from prunescope.analysis.trace.drift import Drift, measure
from prunescope.analysis.trace.padding import empty, without
from prunescope.analysis.trace.pairing import pair_heads
from prunescope.analysis.trace.pairs import Pair, Reader
from prunescope.analysis.trace.results import LayerTrace, MemberTrace, Pairing, SpaceTrace
from prunescope.analysis.trace.shared import HIDDEN
from prunescope.analysis.trace.spaces import Member, trace_space
from prunescope.architecture.labels import NO_SPACE
from prunescope.errors import ArchitectureError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

# Space → original indices of what is left; None for all of it.
Kept = Mapping[str, "Array | None"]


def trace_layer(
    reader: Reader, layer: int | None, position: int, hidden: Array | None
) -> LayerTrace:
    """Trace the spaces of one layer.

    Args:
        layer: its number in the original; None where it is like none of them.
        position: its number in the pruned model.

    Raises:
        ArchitectureError: a tensor that is not as wide as the model.
        CheckpointError: weights that cannot be read or compared.
    """
    if layer is None:
        return LayerTrace(None, position, {}, None, ())
    pairs = reader.pairs(reader.before.layers[layer], reader.after.layers[position])
    spaces, others = _trace(reader, pairs, {HIDDEN: hidden, NO_SPACE: None})
    return LayerTrace(layer, position, spaces, _pairing(reader, spaces), others)


def trace_outside(
    reader: Reader, pairs: Sequence[Pair], hidden: Array | None
) -> tuple[dict[str, SpaceTrace], tuple[MemberTrace, ...]]:
    """The same for embedding, head and final norm."""
    spaces, others = _trace(reader, pairs, {HIDDEN: hidden, NO_SPACE: None})
    if hidden is not None:
        pair = next(pair for pair in pairs if HIDDEN in pair.axes)
        length = pair.original.shape[pair.axes.index(HIDDEN)]
        spaces[HIDDEN] = SpaceTrace(HIDDEN, 1, length, tuple(hidden.tolist()), True, 0, ())
    return spaces, others


def _trace(
    reader: Reader, pairs: Sequence[Pair], known: Kept
) -> tuple[dict[str, SpaceTrace], tuple[MemberTrace, ...]]:
    """Trace the spaces that are not `known`, then compare what has none of them to trace by."""
    members: dict[str, list[Member]] = {}
    rest = []
    for pair in pairs:
        axis = next((i for i, space in enumerate(pair.axes) if space not in known), None)
        if len(pair.axes) < 2 or axis is None:
            rest.append(pair)
            continue
        other = known.get(pair.axes[1 - axis])
        _check_width(reader, pair, 1 - axis, other)
        members.setdefault(pair.axes[axis], []).append(
            Member(pair.role, pair.original, pair.pruned, axis, other)
        )
    kept = dict(known)
    spaces = {}
    units = {space: unit for p in pairs for space, unit in zip(p.axes, p.unit, strict=True)}
    for name, found in members.items():
        is_heads = units[name] is not None and units[name] == _head_unit(reader)
        rows = reader.head_dim if is_heads else 1
        spaces[name], kept[name] = trace_space(name, rows or 1, found)
    return spaces, tuple(_confirm(pair, kept) for pair in rest)


def _head_unit(reader: Reader) -> str | None:
    heads = reader.after.family.spaces.get("heads")
    return heads.unit if heads is not None else None


def _check_width(reader: Reader, pair: Pair, axis: int, kept: Array | None) -> None:
    expected = pair.original.shape[axis] if kept is None else len(kept)
    if pair.pruned.shape[axis] != expected:
        raise ArchitectureError(
            f"{reader.after.checkpoint.path}: tensor {pair.pruned.info.name!r} has "
            f"{pair.pruned.shape[axis]} {pair.axes[axis]} entries, where the model has {expected}"
        )


def _confirm(pair: Pair, kept: Kept) -> MemberTrace:
    """Compare a tensor whose axes are known from others."""
    along = [kept.get(space) for space in pair.axes]
    lengths = [
        pair.original.shape[axis] if indices is None else len(indices)
        for axis, indices in enumerate(along)
    ]
    disagreeing = 0
    found = Drift(False, nan)
    if any(pair.pruned.shape[axis] != length for axis, length in enumerate(lengths)):
        disagreeing = pair.pruned.shape[0]
    else:
        found = _measured(pair, along)
    return MemberTrace(
        pair.pruned.info.name,
        pair.role,
        None,
        disagreeing,
        0,
        found.identical,
        found.relative,
        found.finite,
        pair.pruned.part,
    )


def _measured(pair: Pair, along: list[Array | None]) -> Drift:
    """The drift of a tensor, but for zeros in the places of units that are padding."""
    pruned = pair.pruned
    for axis, kept in enumerate(along):
        zeros = empty(pruned, axis, kept) if kept is not None else None
        if kept is None or zeros is None or not zeros.any():
            continue
        rest = without(pruned, axis, kept, zeros)
        if rest is None:
            return Drift(True, 0.0)
        pruned, along[axis] = rest
    return measure(pair.original, pruned, along[0], along[1] if along[1:] else None)


def _pairing(reader: Reader, spaces: Mapping[str, SpaceTrace]) -> Pairing | None:
    """Of the group that couples two spaces: its first has the units that the second's share."""
    for group in reader.after.family.groups.values():
        if reader.head_dim and len(group.spaces) == 2 and set(group.spaces) <= spaces.keys():
            kv_heads, heads = (spaces[name] for name in group.spaces)
            return pair_heads(heads, kv_heads)
    return None
