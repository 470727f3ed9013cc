"""Which pickles lie one behind the other in a file? Read in pieces: a model's weights may follow.

torch's format before 1.6 is five pickles and then gigabytes of weights.
"""

from __future__ import annotations

from dataclasses import replace

from prunescope.checkpoint import pickle_machine
from prunescope.checkpoint.pickle_machine import MAX_PICKLE, Machine, Pickled
from prunescope.checkpoint.pickle_values import Bound, Truncated
from prunescope.checkpoint.storage import File
from prunescope.errors import CheckpointError

# Most headers are smaller; each further piece is the longer, so that little is read twice.
_FIRST_PIECE = 256 << 10
_GROWTH = 8


class PickleStream:
    """The pickles from the start of `file` on.

    Args:
        opcodes: how many to interpret at most; MAX_OPCODES of the machine by default.

    Attributes:
        position: where the next one begins, in bytes from the start of the file.
    """

    def __init__(self, file: File, opcodes: int | None = None) -> None:
        self.file = file
        self.position = 0
        # A thousand pickles may not take a thousand times what one may.
        self._opcodes = pickle_machine.MAX_OPCODES if opcodes is None else opcodes
        self._start = 0
        self._piece = b""

    def next(self) -> Pickled:
        """Examine the next pickle; the position moves behind it, also where it has an error.

        Raises:
            CheckpointError: the file cannot be read, or shrinks.
        """
        machine = Machine(self._piece, self.position - self._start)
        found = machine.examine(self._opcodes)
        while isinstance(found.error, Truncated) and (length := self._longer()):
            before = self._held
            # Not held beside the new piece.
            self._piece = machine.data = b""
            self._piece = self.file.read(self.position, length)
            if len(self._piece) <= before:
                raise CheckpointError(self.file, "truncated: it shrank while it was read")
            machine.continue_with(self._piece, self.position - self._start)
            self._start = self.position
            found = machine.examine(self._opcodes)
        if isinstance(found.error, Truncated) and self._held > MAX_PICKLE:
            found = replace(found, error=Bound(f"a pickle of over {MAX_PICKLE >> 20} MiB"))
        self.position += found.length
        self._opcodes -= found.opcodes
        return found

    @property
    def _held(self) -> int:
        """Bytes at hand from the pickle's first one on."""
        return self._start + len(self._piece) - self.position

    def _longer(self) -> int:
        """Bytes of the next piece; 0 where this one holds all that there may be of the pickle."""
        held = self._held
        length = min(max(held * _GROWTH, _FIRST_PIECE), MAX_PICKLE + 1)
        return length if held < min(length, self.file.size - self.position) else 0
