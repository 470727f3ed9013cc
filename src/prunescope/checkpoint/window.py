"""How is a file read that lies inside another? As a stretch of it, with offsets of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from prunescope.checkpoint.storage import File
from prunescope.checkpoint.types import TensorInfo
from prunescope.errors import CheckpointError

# Bytes at either end, which are read at once: there a small archive has all but the tensor.
EDGE = 2048


@dataclass(frozen=True)
class Window(File):
    """`length` bytes of `base` from `start`.

    Raises:
        CheckpointError: on creation, where they do not lie inside it.
    """

    base: File
    start: int
    length: int

    def __post_init__(self) -> None:
        end = self.start + self.length
        if self.start < 0 or self.length < 0 or end > self.base.size:
            raise CheckpointError(
                self.base, f"truncated: a piece ends at byte {end}, the file at {self.base.size}"
            )

    def __str__(self) -> str:
        return str(self.base)

    @property
    def name(self) -> str:
        """The name of the file it lies in."""
        return self.base.name

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self.length

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, fewer at its end."""
        length = max(0, min(length, self.length - offset))
        if offset + length <= EDGE:
            return self._head[offset : offset + length]
        if offset >= (edge := self.length - EDGE):
            return self._tail[offset - edge : offset - edge + length]
        return self.base.read(self.start + offset, length)

    @cached_property
    def _head(self) -> bytes:
        return self.base.read(self.start, min(EDGE, self.length))

    @cached_property
    def _tail(self) -> bytes:
        return self.base.read(self.start + self.length - EDGE, EDGE)

    def placed(self, tensor: TensorInfo) -> TensorInfo:
        """A tensor found in this window, as one of the file it lies in."""
        if tensor.record is not None:
            # Its offset counts from the record.
            return replace(tensor, file=self.base, record=self.start + tensor.record)
        return replace(tensor, file=self.base, offset=self.start + tensor.offset)
