"""Where exactly in its file does a piece of a tensor lie, and is it what `.metadata` says?

In a `.distcp` file each piece of a tensor is a `torch.save` archive of its own
(https://github.com/pytorch/pytorch/blob/main/torch/distributed/checkpoint/filesystem.py); with
`SerializationFormat.SAFETENSORS` a file ends in one safetensors file of all its pieces instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from prunescope.checkpoint import safetensors, torch_zip
from prunescope.checkpoint.budget import Budget
from prunescope.checkpoint.distributed_metadata import Sizes, Stretch
from prunescope.checkpoint.folder import METADATA
from prunescope.checkpoint.jsonfile import parse_object
from prunescope.checkpoint.storage import File, Folder
from prunescope.checkpoint.tied_pieces import Sums
from prunescope.checkpoint.types import TensorInfo
from prunescope.checkpoint.window import Window
from prunescope.errors import CheckpointError

# The note that torch puts beside safetensors pieces: name → where it starts in the whole.
_SHARDING = "DCP_SHARDING_INFO"
_MAX_NOTE = 48 << 20


@dataclass(frozen=True, slots=True)
class Listed:
    """A tensor as `.metadata` describes it.

    Attributes:
        name: what the model calls it.
        key: what it was saved as.
        boxes: (start, sizes) of each piece, one or more.
        places: where each of them is stored.
    """

    name: str
    key: str
    dtype: str
    shape: Sizes
    boxes: Sequence[tuple[Sizes, Sizes]]
    places: Sequence[Stretch]


@dataclass
class PieceReader:
    """Finds pieces in the files of one folder; the safetensors header of each is read once.

    Attributes:
        files: those that hold what was asked for so far, by name.
        sums: by name, of the tensors all of whose pieces were found and state one.
    """

    folder: Folder
    metadata: File
    files: dict[str, File] = field(default_factory=dict)
    headers: dict[str, _Header] = field(default_factory=dict)
    sums: dict[str, Sums] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)

    def check_files(self, listed: Listed) -> None:
        """Raise CheckpointError where a file is missing that has a piece of the tensor."""
        for place in listed.places:
            if place.name not in self.files:
                self.file(place.name)

    def pieces(self, listed: Listed, count: int) -> list[TensorInfo]:
        """The first `count` pieces of a tensor.

        Raises:
            CheckpointError: one is malformed, or not as it is listed.
        """
        found, sums = [], []
        for box, place in zip(listed.boxes[:count], listed.places, strict=False):
            piece, crc = self._piece(listed, box, place)
            found.append(piece)
            sums.append((box[0], crc))
        if count == len(listed.boxes) and all(crc for _, crc in sums):
            self.sums[listed.name] = tuple(sorted(sums))
        return found

    def _piece(
        self, listed: Listed, box: tuple[Sizes, Sizes], place: Stretch
    ) -> tuple[TensorInfo, int]:
        """One piece, and its CRC-32; 0 where that is not stated."""
        file, key, (start, sizes) = self.file(place.name), listed.key, box
        window = Window(file, place.offset, place.length)
        if window.read(0, 4) == b"PK\x03\x04":
            found, crc = torch_zip.read_tensor(window, key)
        else:
            window = Window(file, place.offset, file.size - place.offset)
            found, crc = self._in_safetensors(window, key, start), 0
        if found.dtype != listed.dtype or found.shape != sizes:
            raise CheckpointError(
                file,
                f"tensor {key!r}: a piece is {found.dtype} {list(found.shape)}, "
                f"{METADATA} says {listed.dtype} {list(sizes)}",
            )
        return replace(window.placed(found), start=start), crc

    def file(self, name: str) -> File:
        """The file of that name.

        Raises:
            CheckpointError: it is missing, or the name leads out of the folder.
        """
        if name not in self.files:
            file = self.folder.file(name)
            if not self.folder.has(name):
                raise CheckpointError(self.metadata, f"file {name!r} is missing")
            self.files[name] = file
        return self.files[name]

    def _in_safetensors(self, window: Window, key: str, start: tuple[int, ...]) -> TensorInfo:
        if str(window) not in self.headers:
            contents = self.budget.spend(window, safetensors.read(window))
            note = contents.metadata.get(_SHARDING)
            starts = parse_object(note.encode(), window, _SHARDING, _MAX_NOTE) if note else None
            self.headers[str(window)] = _Header(window.start, contents.tensors, starts)
        header = self.headers[str(window)]
        if window.start != header.start:
            raise CheckpointError(window, "holds safetensors pieces at two places")
        if key not in header.tensors or not header.says(key, start):
            raise CheckpointError(window, f"tensor {key!r}: its piece at {list(start)} is missing")
        return header.tensors[key]


@dataclass(frozen=True)
class _Header:
    """A safetensors file of pieces that begins at byte `start`, with its own note, if any."""

    start: int
    tensors: Mapping[str, TensorInfo]
    starts: Mapping[str, Any] | None

    def says(self, key: str, start: tuple[int, ...]) -> bool:
        """Whether the piece begins there by the note too.

        A process with two pieces of one tensor writes them under one name, and the last remains.
        """
        if self.starts is None:
            return True
        found = self.starts.get(key)
        return isinstance(found, Mapping) and found.get("saved_offsets") == list(start)
