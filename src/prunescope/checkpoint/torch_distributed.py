"""Which tensors does a folder hold that several processes saved together?

`torch.distributed.checkpoint.save` (FSDP, torchtune, torchtitan, accelerate) writes `.metadata` and
files `__<rank>_<n>.distcp`. In those each piece of a tensor is a `torch.save` archive of its own
(https://github.com/pytorch/pytorch/blob/main/torch/distributed/checkpoint/filesystem.py); with
`SerializationFormat.SAFETENSORS` a file ends in one safetensors file of all its pieces instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from prunescope.checkpoint import safetensors, torch_zip
from prunescope.checkpoint.budget import Budget
from prunescope.checkpoint.distributed_metadata import Saved, SavedState, Stretch, read_metadata
from prunescope.checkpoint.folder import METADATA
from prunescope.checkpoint.jsonfile import parse_object
from prunescope.checkpoint.pieces import check_cover, joined
from prunescope.checkpoint.state_names import model_names
from prunescope.checkpoint.storage import File, Folder
from prunescope.checkpoint.tied_pieces import Sums, with_ties
from prunescope.checkpoint.types import Contents, TensorInfo
from prunescope.checkpoint.window import Window
from prunescope.errors import CheckpointError

FORMAT = "torch distributed"
# The note that torch puts beside safetensors pieces: name → where it starts in the whole.
_SHARDING = "DCP_SHARDING_INFO"
_MAX_NOTE = 48 << 20


def read(folder: Folder) -> tuple[Contents, dict[str, File]]:
    """The model's tensors, and the files that hold them by name.

    Optimizer state and whatever else training saved is left out: see `state_names`.

    Raises:
        CheckpointError: malformed, a file is missing or ends early, or a tensor's pieces do not
            make up the whole.
    """
    metadata = folder.file(METADATA)
    state = read_metadata(metadata)
    names = model_names({key: saved.path for key, saved in state.tensors.items()}, metadata)
    if not names:
        others = "only what training keeps (optimizer)" if state.tensors else "no tensor"
        raise CheckpointError(metadata, f"lists no model: {others}")
    reader = _Pieces(folder, metadata)
    tensors = {name: _tensor(name, key, state, reader, metadata) for key, name in names.items()}
    _check_ends(state, reader.files)
    sums = {name: reader.sums[key] for key, name in names.items() if key in reader.sums}
    return Contents(with_ties(tensors, sums), mixed=len(names) < len(state.tensors)), reader.files


def _check_ends(state: SavedState, files: Mapping[str, File]) -> None:
    """Raise CheckpointError for a file that ends early, be it in what is no part of the model."""
    for place in state.places.values():
        file = files.get(place.name)
        if file is not None and place.offset + place.length > file.size:
            raise CheckpointError(file, f"truncated: ends at byte {file.size} inside a piece")


def _tensor(name: str, key: str, state: SavedState, reader: _Pieces, metadata: File) -> TensorInfo:
    saved = state.tensors[key]
    # A process without a share of the tensor saves an empty piece, or none: where all are empty,
    # one of them is enough.
    boxes = [box for box in saved.chunks if 0 not in box[1]]
    boxes = boxes or [box for box in saved.chunks if (key, box[0]) in state.places][:1]
    if not boxes:
        raise CheckpointError(metadata, f"tensor {name!r} has no pieces")
    # Before any is read: a stranger may list one many times.
    check_cover(name, saved.shape, boxes, metadata)
    pieces, sums = [], []
    for start, sizes in boxes:
        place = state.places.get((key, start))
        if place is None:
            raise CheckpointError(metadata, f"tensor {name!r}: a piece of it is stored nowhere")
        piece, crc = reader.piece(key, start, sizes, saved, place)
        pieces.append(piece)
        sums.append((start, crc))
    if all(crc for _, crc in sums):
        reader.sums[key] = tuple(sorted(sums))
    return joined(name, saved.shape, saved.dtype, pieces)


@dataclass
class _Pieces:
    """Finds pieces in the files of one folder; the safetensors header of each is read once.

    Attributes:
        sums: of the tensors whose pieces all state one.
    """

    folder: Folder
    metadata: File
    files: dict[str, File] = field(default_factory=dict)
    headers: dict[str, _Header] = field(default_factory=dict)
    sums: dict[str, Sums] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)

    def piece(
        self, key: str, start: tuple[int, ...], sizes: tuple[int, ...], saved: Saved, place: Stretch
    ) -> tuple[TensorInfo, int]:
        """One piece, and its CRC-32; 0 where that is not stated."""
        file = self._file(place.name)
        window = Window(file, place.offset, place.length)
        if window.read(0, 4) == b"PK\x03\x04":
            found, crc = torch_zip.read_tensor(window, key)
        else:
            window = Window(file, place.offset, file.size - place.offset)
            found, crc = self._in_safetensors(window, key, start), 0
        if found.dtype != saved.dtype or found.shape != sizes:
            raise CheckpointError(
                file,
                f"tensor {key!r}: a piece is {found.dtype} {list(found.shape)}, "
                f"{METADATA} says {saved.dtype} {list(sizes)}",
            )
        return replace(window.placed(found), start=start), crc

    def _file(self, name: str) -> File:
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
