"""Which layer lost what? Two checkpoints of one family, compared module by module from shapes."""

from __future__ import annotations

from collections.abc import Mapping

from prunescope.analysis.compare_result import (
    VOCABULARY,
    Comparison,
    LayerComparison,
    ModuleComparison,
)
from prunescope.analysis.counts import Counts
from prunescope.analysis.layer_match import Align, LayerMatch, match_layers
from prunescope.analysis.pair import describe_pair
from prunescope.architecture import Model, Module, Role, in_order
from prunescope.architecture.roles import SUBSTITUTES
from prunescope.checkpoint import Checkpoint
from prunescope.errors import ArchitectureError


def compare(
    original: Checkpoint,
    pruned: Checkpoint,
    layers: Mapping[int, int] | None = None,
    align: Align = "auto",
) -> Comparison:
    """Compare a pruned checkpoint with the original it came from.

    Args:
        layers: pruned layer → the original layer that it is, for every layer of `pruned`, none
            twice; None where that is to be found out.
        align: how to find it out, as `prunescope.analysis.layer_match` does.

    Raises:
        ArchitectureError: an unknown family, two families, a "pruned" model that is larger than
            its original somewhere; or, with `align="weights"`, layers that cannot be told.
    """
    before, after = describe_pair(original, pruned)
    if layers is None:
        matched = match_layers(before, after, align)
    else:
        if len({layers[number] for number in after.layers}) != len(after.layers):
            raise ValueError("two layers of the pruned model are the same one of the original")
        matched = LayerMatch(layers, "given")
    positions = {matched.layers[number]: number for number in after.layers}
    compared = []
    for number in sorted(before.layers.keys() | positions.keys()):
        position = positions.get(number)
        here = before.layers.get(number, {})
        there = {} if position is None else after.layers[position]
        modules = tuple(
            _compare(number, role, here.get(role), there.get(role), after)
            for role in _compared(here, there)
        )
        compared.append(LayerComparison(number, position, modules, _total(modules)))
    outside = tuple(
        _compare(None, role, before.outside.get(role), after.outside.get(role), after)
        for role in _compared(before.outside, after.outside)
    )
    counts = Counts(before.parameters, after.parameters)
    return Comparison(before, after, tuple(compared), outside, counts, matched)


def _compared(before: Mapping[Role, Module], after: Mapping[Role, Module]) -> list[Role]:
    # Buffers are computed, not learned, and files that hold them are no larger models.
    return [role for role in in_order([*before, *after]) if role is not Role.BUFFER]


def _compare(
    layer: int | None, role: Role, before: Module | None, after: Module | None, pruned: Model
) -> ModuleComparison:
    old, new = (m.shape if m else None for m in (before, after))
    # A tied head may be stored on one side only, under whatever name: that is no growth.
    is_tie = old is None and after is not None and not after.parameters
    if (
        new
        and _grew(old, new)
        and not is_tie
        and not (old is None and role in (Role.HEAD, *SUBSTITUTES))
        and not _has_more_tokens(role, old, new)
    ):
        place = role.title if layer is None else f"{role.title} of layer {layer}"
        raise ArchitectureError(
            f"{pruned.checkpoint.path}: {place} is {_dims(new)}, in the original "
            f"{_dims(old)}: not pruned from it (are the two swapped?)"
        )
    sizes = (m.parameters if m else 0 for m in (before, after))
    return ModuleComparison(layer, role, old, new, Counts(*sizes))


def _has_more_tokens(role: Role, old: tuple[int, ...] | None, new: tuple[int, ...]) -> bool:
    """Whether all that grew is the vocabulary, as where a padding token is added for training."""
    return role in VOCABULARY and old is not None and not _grew(old[1:], new[1:])


def _grew(old: tuple[int, ...] | None, new: tuple[int, ...]) -> bool:
    if old is None or len(old) != len(new):
        return True
    return any(a < b for a, b in zip(old, new, strict=True))


def _dims(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else " × ".join(map(str, shape))


def _total(modules: tuple[ModuleComparison, ...]) -> Counts:
    return Counts(
        sum(m.parameters.original for m in modules), sum(m.parameters.pruned for m in modules)
    )
