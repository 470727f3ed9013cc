"""Which tensors does a folder hold that several processes saved together?

`torch.distributed.checkpoint.save` (FSDP, torchtune, torchtitan, accelerate) writes `.metadata` and
files `__<rank>_<n>.distcp`. In those each piece of a tensor is a `torch.save` archive of its own
(https://github.com/pytorch/pytorch/blob/main/torch/distributed/checkpoint/filesystem.py); with
`SerializationFormat.SAFETENSORS` a file ends in one safetensors file of all its pieces instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from prunescope.checkpoint import safetensors, torch_zip
from prunescope.checkpoint.distributed_metadata import Place, Saved, SavedState, read_metadata
from prunescope.checkpoint.folder import METADATA
from prunescope.checkpoint.pieces import joined
from prunescope.checkpoint.state_names import model_names
from prunescope.checkpoint.storage import File, Folder
from prunescope.checkpoint.types import Contents, TensorInfo
from prunescope.checkpoint.window import Window
from prunescope.errors import CheckpointError

FORMAT = "torch distributed"
# The note that torch puts beside safetensors pieces: name → where it starts in the whole.
_SHARDING = "DCP_SHARDING_INFO"


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
    return Contents(tensors, mixed=len(names) < len(state.tensors)), reader.files


def _check_ends(state: SavedState, files: Mapping[str, File]) -> None:
    """Raise CheckpointError for a file that ends early, be it in what is no part of the model."""
    for place in state.places.values():
        file = files.get(place.name)
        if file is not None and place.offset + place.length > file.size:
            raise CheckpointError(file, f"truncated: ends at byte {file.size} inside a piece")


def _tensor(name: str, key: str, state: SavedState, reader: _Pieces, metadata: File) -> TensorInfo:
    saved = state.tensors[key]
    pieces = []
    for start, sizes in saved.chunks:
        place = state.places.get((key, start))
        if place is None:
            # A process without a share of the tensor saves an empty piece, or none.
            if 0 in sizes and len(saved.chunks) > 1:
                continue
            raise CheckpointError(metadata, f"tensor {name!r}: a piece of it is stored nowhere")
        pieces.append(reader.piece(key, start, sizes, saved, place))
    if not pieces:
        raise CheckpointError(metadata, f"tensor {name!r} has no pieces")
    return joined(name, saved.shape, saved.dtype, pieces, metadata)


@dataclass
class _Pieces:
    """Finds pieces in the files of one folder; each safetensors header is read once."""

    folder: Folder
    metadata: File
    files: dict[str, File] = field(default_factory=dict)
    headers: dict[tuple[str, int], Contents] = field(default_factory=dict)

    def piece(
        self, key: str, start: tuple[int, ...], sizes: tuple[int, ...], saved: Saved, place: Place
    ) -> TensorInfo:
        file = self._file(place.name)
        if file.read(place.offset, 4) == b"PK\x03\x04":
            window = Window(file, place.offset, place.length)
            found = torch_zip.read_tensor(window, key)
        else:
            window = Window(file, place.offset, max(0, file.size - place.offset))
            found = self._in_safetensors(window, key, start)
        if found.dtype != saved.dtype or found.shape != sizes:
            raise CheckpointError(
                file,
                f"tensor {key!r}: a piece is {found.dtype} {list(found.shape)}, "
                f"{METADATA} says {saved.dtype} {list(sizes)}",
            )
        return replace(window.placed(found), start=start)

    def _file(self, name: str) -> File:
        if name not in self.files:
            file = self.folder.file(name)
            if not self.folder.has(name):
                raise CheckpointError(self.metadata, f"file {name!r} is missing")
            self.files[name] = file
        return self.files[name]

    def _in_safetensors(self, window: Window, key: str, start: tuple[int, ...]) -> TensorInfo:
        place = (window.name, window.start)
        if place not in self.headers:
            self.headers[place] = safetensors.read(window)
        contents = self.headers[place]
        if key not in contents.tensors or not _starts_at(contents, key, start):
            raise CheckpointError(window, f"tensor {key!r}: its piece at {list(start)} is missing")
        return contents.tensors[key]


def _starts_at(contents: Contents, key: str, start: tuple[int, ...]) -> bool:
    """Whether the file's own note, where it has one, says so too.

    A process with two pieces of one tensor writes them under one name, and the last remains.
    """
    note = contents.metadata.get(_SHARDING)
    if note is None:
        return True
    try:
        return bool(json.loads(note)[key]["saved_offsets"] == list(start))
    except (ValueError, RecursionError, KeyError, TypeError):
        return False
