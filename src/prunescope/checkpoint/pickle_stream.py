"""Which pickles lie one behind the other in a file? Read in pieces: a model's weights may follow.

torch's format before 1.6 is five pickles and then gigabytes of weights.
"""

from __future__ import annotations

from dataclasses import replace

from prunescope.checkpoint import pickle_machine
from prunescope.checkpoint.pickle_machine import MAX_PICKLE, Machine, Pickled
from prunescope.checkpoint.pickle_values import Bound, Truncated
from prunescope.checkpoint.storage import File

# Most headers are smaller; each further piece is the longer, so that little is read twice.
_FIRST_PIECE = 256 << 10
_GROWTH = 8


class PickleStream:
    """The pickles from the start of `file` on.

    Attributes:
        position: where the next one begins, in bytes from the start of the file.
    """

    def __init__(self, file: File) -> None:
        self.file = file
        self.position = 0
        # A thousand pickles may not take a thousand times what one may.
        self._opcodes = pickle_machine.MAX_OPCODES
        self._start = 0
        self._piece = b""

    def next(self) -> Pickled:
        """Examine the next pickle; the position moves behind it, also where it has an error.

        Raises:
            CheckpointError: the file cannot be read.
        """
        machine = Machine(self._piece, self.position - self._start)
        found = machine.examine(self._opcodes)
        length = _FIRST_PIECE
        while isinstance(found.error, Truncated) and self._has_more(length):
            # Not held beside the new piece.
            self._piece = machine.data = b""
            self._piece = self.file.read(self.position, length)
            machine.continue_with(self._piece, self.position - self._start)
            self._start = self.position
            found = machine.examine(self._opcodes)
            length = min(length * _GROWTH, MAX_PICKLE + 1)
        if isinstance(found.error, Truncated) and len(self._piece) > MAX_PICKLE:
            found = replace(found, error=Bound(f"a pickle of over {MAX_PICKLE >> 20} MiB"))
        self.position += found.length
        self._opcodes -= found.opcodes
        return found

    def _has_more(self, length: int) -> bool:
        """Whether a piece of `length` bytes would hold more of the pickle than this one does."""
        held = self._start + len(self._piece) - self.position
        return held < min(length, self.file.size - self.position)
