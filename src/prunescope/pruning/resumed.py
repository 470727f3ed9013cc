"""Does what an interrupted pass has left make sense? Entries are whole, but may be lost or changed.

A pass goes on from its last finished step and never looks at what lies before it until the end:
what is missing there would be found after hours, or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from prunescope.errors import PrunescopeError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Shape and type of what goes from one layer to the next, of one batch.
Outline = tuple["torch.Size", "torch.dtype"]


class LostProgress(PrunescopeError):
    """Progress that nothing can be made of; the message says what to do."""

    def __init__(self, place: object, cause: str) -> None:
        super().__init__(f"{place}: {cause}: remove that folder to begin anew")


def check_entries(place: object, names: set[str], done: int, depth: int, last: int) -> None:
    """Raise LostProgress where an entry of a finished step is not there.

    Args:
        place: of the entries.
        names: of the entries that there are.
        done: steps that are finished, of `Pass.steps`.
        depth: layers.
        last: the stage at which the pass ends.
    """
    needed = {f"forward-{n}" for n in range(min(done, depth))}
    if done > depth:
        needed |= {f"exit-{depth}"}
    backwards = [2 * depth - step for step in range(depth + 1, done)]
    needed |= {f"backward-{n}" if n >= 0 else "entry-0" for n in backwards}
    lost = sorted(needed - names)
    if done > 2 * depth + 1 - last or lost:
        raise LostProgress(place, f"progress has lost {lost[0] if lost else 'its end'}")


def check_boundary(
    place: object, name: str, found: Mapping[str, Tensor], wanted: Sequence[Outline]
) -> None:
    """Raise LostProgress unless the entry `name` holds, by number of batch, tensors as `wanted`."""
    ours = {str(number): outline for number, outline in enumerate(wanted)}
    if {key: (tensor.shape, tensor.dtype) for key, tensor in found.items()} != ours:
        raise LostProgress(place, f"progress {name} is of another pass")


def check_scores(
    place: object,
    found: Mapping[str, Tensor],
    shapes: Mapping[str, tuple[int, ...]],
    needed: Collection[str],
) -> None:
    """Raise LostProgress unless `found` are real numbers of these `shapes`, and `needed` there."""
    is_sound = all(
        tensor.shape == shapes.get(key) and tensor.is_floating_point()
        for key, tensor in found.items()
    )
    if not is_sound or not found.keys() >= set(needed):
        raise LostProgress(place, "progress holds other scores than those wanted")
