"""Do all files of one checkpoint together fit into memory? Each reader bounds its own file.

The largest public models have some 280,000 tensors (a thousand billion parameters in 4 bits, with
scales and zero points); a hostile index could name a thousand files of a hundred thousand each.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from prunescope.checkpoint.storage import File
from prunescope.checkpoint.types import Contents
from prunescope.errors import CheckpointError

# Bytes of memory.
MAX_TOGETHER = 150 << 20
# A TensorInfo with its shape, numbers and place in a dict, as CPython 3.10 to 3.14 hold them.
_TENSOR, _AXIS, _NOTE = 360, 40, 160
# A part has a name of its own, and axes.
_PART = 300


@dataclass
class Budget:
    """What is left for the files not yet read."""

    left: int = MAX_TOGETHER

    def spend(self, file: File, contents: Contents) -> Contents:
        """`contents`, which were read from `file`.

        Raises:
            CheckpointError: with what was read before, they take more than any model needs.
        """
        tensors, notes = contents.tensors, contents.metadata
        self.left -= sum(map(sys.getsizeof, tensors)) + _TENSOR * len(tensors)
        self.left -= (_TENSOR + _PART) * sum(len(tensor.parts) for tensor in tensors.values())
        self.left -= _AXIS * sum(len(tensor.shape) for tensor in tensors.values())
        self.left -= sum(map(sys.getsizeof, notes.values())) + _NOTE * len(notes)
        if self.left < 0:
            raise CheckpointError(file, "with the files before it: more tensors than any model has")
        return contents
