"""Which pickles lie in the files of a torch.distributed checkpoint? Those that `.metadata` places.

Each piece of a tensor and each other object is an archive of its own inside a `.distcp` file, and
only `.metadata` tells where. Loading reads these stretches and nothing else, so they are what is
scanned: https://github.com/pytorch/pytorch/blob/main/torch/distributed/checkpoint/filesystem.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prunescope.checkpoint import pickle_machine
from prunescope.checkpoint.distributed_metadata import Stretch, read_places
from prunescope.checkpoint.folder import METADATA
from prunescope.checkpoint.formats import HEAD, SAFETENSORS, of_head
from prunescope.checkpoint.pickle_machine import Pickled
from prunescope.checkpoint.pickle_places import MAX_BYTES, pickles_in
from prunescope.checkpoint.storage import File, Folder
from prunescope.checkpoint.window import Window
from prunescope.errors import CheckpointError


class PickledPieces:
    """The pieces in the files of one folder, as its `.metadata` lists them.

    Attributes:
        folder: where the files lie.
        places: what lies in each file, by the file's name; empty without a `.metadata`.
        problem: why a `.metadata` could not be read, so that nothing is known of the pieces.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.places: dict[str, list[Stretch]] = {}
        self.problem: str | None = None
        try:
            # Without collectives each process leaves a list of its own, `__<rank>.metadata`.
            for name in filter(is_list, folder.names()):
                for place in read_places(folder.file(name)):
                    self.places.setdefault(place.name, []).append(place)
        except CheckpointError as err:
            self.places, self.problem = {}, err.cause

    def pickles(self, file: File, name: str) -> Iterator[tuple[str, Pickled]]:
        """The pickles of each piece in `file`, which `.metadata` calls `name`.

        Raises:
            CheckpointError: nothing tells where they lie, or they overlap, or take more than this
                module's bounds.
        """
        places = self.places.get(name)
        if places is None:
            why = f" ({self.problem})" if self.problem else ""
            raise CheckpointError(file, f"no {METADATA} beside it says where its pieces lie{why}")
        opcodes, length = pickle_machine.MAX_OPCODES, MAX_BYTES
        for window in _windows(file, places):
            for where, found in pickles_in(window)[1]:
                yield f"the piece at byte {window.start}: {where}", found
                opcodes -= found.opcodes
                length -= found.length
            if opcodes < 0 or length < 0:
                cause = f"over {pickle_machine.MAX_OPCODES} opcodes or {MAX_BYTES >> 20} MiB"
                raise CheckpointError(file, f"{cause} of pickles in its pieces")


def is_list(name: str) -> bool:
    """Whether a file of that name lists pieces."""
    return name.endswith(METADATA)


def _windows(file: File, places: Sequence[Stretch]) -> Iterator[Window]:
    """The stretches of `file` that are loaded, each once."""
    end, whole = 0, -1
    for start, length in sorted({(place.offset, place.length) for place in places}):
        if start == whole:
            continue
        if start < end:
            raise CheckpointError(file, f"the piece at byte {start} overlaps another")
        known = of_head(file.read(start, HEAD), file.size - start)
        if known is not None and known.name == SAFETENSORS:
            # All its tensors are said to lie where it begins, each with its own length; it is what
            # the file ends in.
            whole, length = start, file.size - start
        end = start + length
        yield Window(file, start, length)
