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

Axes = Mapping[str, Collection[int]]
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


def check_rows(
    place: object, rows: Mapping[tuple[str, int], Tensor], axes: Axes, is_complete: bool
) -> None:
    """Raise LostProgress unless `rows` are vectors of real numbers, of `axes` and no others.

    Args:
        is_complete: whether the measure has something to say of every axis.
    """
    wanted = {(name, axis) for name, of in axes.items() for axis in of}
    is_sound = all(row.ndim == 1 and row.is_floating_point() for row in rows.values())
    if not is_sound or not rows.keys() <= wanted or (is_complete and rows.keys() != wanted):
        raise LostProgress(place, "progress holds other scores than those wanted")
