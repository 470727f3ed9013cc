"""What is a state dict whose tensors are made when asked for? Shapes and ties now, values later."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from prunescope.extras import require

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch", "prune")
    Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class Outline:
    """A tensor but for its values.

    Attributes:
        shared_with: an earlier name under which the same tensor stands; None otherwise.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    shared_with: str | None = None

    @property
    def parameters(self) -> int:
        """Number of elements."""
        return prod(self.shape)


class LazyState(Mapping[str, Tensor]):
    """Tensors by name. One that is still held elsewhere is given out again, others are made anew.

    Attributes:
        outlines: by name, in order.
        release: to be called after use: gives pages of mapped files back to the system.
        copied: names of tensors that take memory for as long as they are held; others lie over a
            mapped file, or are in memory anyway.
    """

    def __init__(
        self,
        outlines: Mapping[str, Outline],
        make: Callable[[str], Tensor],
        release: Callable[[], None] = lambda: None,
        copied: Collection[str] = (),
    ) -> None:
        self.outlines = outlines
        self.copied = frozenset(copied)
        self.release = release
        self._make = make
        self._held: WeakValueDictionary[str, Tensor] = WeakValueDictionary()

    def __getitem__(self, name: str) -> Tensor:
        name = self.outlines[name].shared_with or name
        tensor = self._held.get(name)
        if tensor is None:
            tensor = self._held[name] = self._make(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.outlines)

    def __len__(self) -> int:
        return len(self.outlines)

    @property
    def parameters(self) -> int:
        """Of all tensors, shared ones once."""
        return sum(o.parameters for o in self.outlines.values() if o.shared_with is None)


def in_memory(state: Mapping[str, Tensor]) -> LazyState:
    """`state` itself, or the tensors that it holds already; the same object twice is shared."""
    if isinstance(state, LazyState):
        return state
    first: dict[int, str] = {}
    outlines = {}
    for name, tensor in state.items():
        owner = first.setdefault(id(tensor), name)
        shared = None if owner == name else owner
        outlines[name] = Outline(tuple(tensor.shape), tensor.dtype, shared)
    return LazyState(outlines, state.__getitem__)
