"""What of the original do all layers have in common? The hidden columns and the layers left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prunescope.analysis.trace.depth import match_layers
from prunescope.analysis.trace.matrices import Matrix, read_matrix
from prunescope.analysis.trace.pairs import Pair, Reader
from prunescope.analysis.trace.spaces import Member
from prunescope.analysis.trace.width import locate_shared
from prunescope.architecture import Model, Module, Role
from prunescope.architecture.roles import MATRICES
from prunescope.checkpoint import TensorInfo
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import ArchitectureError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

HIDDEN = "hidden"
# Whose rows tell layers apart; the value projection is small and never permuted.
_TELLING = (Role.V, *(role for role in MATRICES if role is not Role.V))


def layers_by_weights(before: Model, after: Model) -> dict[int, int | None]:
    """Pruned layer → original layer, from the weights of both; None for one that is like no other.

    Raises:
        ArchitectureError: as `locate_hidden` and `match_depth` do.
        CheckpointError: weights that are not here, or of a type that cannot be compared.
    """
    with WeightMap() as weights:
        reader = Reader(weights, before, after, before.head_dim or after.head_dim)
        hidden = locate_hidden(reader, reader.pairs(before.outside, after.outside))
        return match_depth(reader, hidden)


def locate_hidden(reader: Reader, outside: Sequence[Pair]) -> Array | None:
    """Original indices of the hidden columns that are left; None for all of them.

    Raises:
        ArchitectureError: there are more than there were, or it cannot be told which.
    """
    lengths = [_length(model) for model in (reader.before, reader.after)]
    if lengths[0] == lengths[1]:
        return None
    where = reader.after.checkpoint.path
    change = f"hidden size {lengths[1]}, in the original {lengths[0]}"
    if lengths[1] > lengths[0]:
        raise ArchitectureError(f"{where}: {change}: not pruned from it (are the two swapped?)")
    pairs = [*outside, *_same_numbers(reader)]
    kept = locate_shared(
        (_member(pair) for pair in pairs if len(pair.axes) == 2 and HIDDEN in pair.axes),
        [_member(pair) for pair in pairs if pair.axes == (HIDDEN,)],
    )
    if kept is None:
        raise ArchitectureError(f"{where}: {change}: no tensor tells which columns were kept")
    return kept


def match_depth(reader: Reader, hidden: Array | None) -> dict[int, int | None]:
    """Pruned layer → original layer; None for one that is like no other.

    Raises:
        ArchitectureError: the layers have no projection in common to tell them by.
    """
    before, after = reader.before.layers, reader.after.layers
    for role in _TELLING:
        everywhere = all(role in layer for layer in (*before.values(), *after.values()))
        if everywhere and all(_is_fed(reader.after, layer[role]) for layer in after.values()):
            original = {n: _weight(reader, reader.before, m[role]) for n, m in before.items()}
            pruned = {n: _weight(reader, reader.after, m[role]) for n, m in after.items()}
            _check_widths(reader, original, pruned, hidden)
            return match_layers(original, pruned, hidden)
    if before.keys() == after.keys():
        return {number: number for number in after}
    raise ArchitectureError(
        f"{reader.after.checkpoint.path}: no projection is in every layer, so that it cannot be "
        "told which layers are left"
    )


def _check_widths(
    reader: Reader,
    original: Mapping[int, Matrix],
    pruned: Mapping[int, Matrix],
    hidden: Array | None,
) -> None:
    before, after = ({m.shape[1] for m in side.values()} for side in (original, pruned))
    if len(before) > 1 or after != (before if hidden is None else {len(hidden)}):
        raise ArchitectureError(
            f"{reader.after.checkpoint.path}: its layers are {sorted(after)} wide, the "
            f"original's {sorted(before)}: no model has several widths"
        )


def _same_numbers(reader: Reader) -> Iterator[Pair]:
    before, after = reader.before.layers, reader.after.layers
    if before.keys() == after.keys():
        for number, modules in after.items():
            yield from reader.pairs(before[number], modules)


def _member(pair: Pair) -> Member:
    return Member(pair.role, pair.original, pair.pruned, pair.axes.index(HIDDEN), None)


def _length(model: Model) -> int:
    """The hidden size, by the first tensor that has it."""
    for name, role in model.roles.items():
        if HIDDEN in role.axes:
            return model.checkpoint.tensors[name].shape[role.axes.index(HIDDEN)]
    raise ArchitectureError(f"{model.checkpoint.path}: no tensor has the hidden dimension")


def _weight(reader: Reader, model: Model, module: Module) -> Matrix:
    return read_matrix(reader.weights, model, _largest(module), module.role, reader.head_dim)


def _is_fed(model: Model, module: Module) -> bool:
    """Whether the module's columns are the hidden dimension."""
    return model.roles[_largest(module).name].axes[1:] == (HIDDEN,)


def _largest(module: Module) -> TensorInfo:
    return max(module.tensors, key=lambda tensor: len(tensor.shape))
