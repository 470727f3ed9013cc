"""Which tensors does a folder hold that several processes saved together?

`torch.distributed.checkpoint.save` (FSDP, torchtune, torchtitan, accelerate) writes `.metadata` and
files `__<rank>_<n>.distcp`, which hold the pieces of tensors: see `distributed_pieces`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import prod

from prunescope.checkpoint.distributed_metadata import SavedState, read_metadata
from prunescope.checkpoint.distributed_pieces import Listed, PieceReader
from prunescope.checkpoint.dtypes import bytes_of
from prunescope.checkpoint.folder import METADATA
from prunescope.checkpoint.pieces import LateParts, check_cover, joined
from prunescope.checkpoint.state_names import model_names
from prunescope.checkpoint.storage import File, Folder
from prunescope.checkpoint.tied_pieces import candidates, with_ties
from prunescope.checkpoint.types import Contents, TensorInfo
from prunescope.errors import CheckpointError

FORMAT = "torch distributed"
# So many pieces of a model are all looked at before anything is said of it, some 0.2 ms each …
MAX_LOOKED_AT = 20_000
# … and of more than that no more than these: those that may be tied, and one of each tensor.
_OF_MORE = 5_000


def read(folder: Folder) -> tuple[Contents, dict[str, File]]:
    """The model's tensors, and the files that hold them by name.

    Optimizer state and whatever else training saved is left out: see `state_names`. Of a model
    with more than MAX_LOOKED_AT pieces most are taken as `.metadata` describes them: only asking
    for them in `parts` shows whether they are so.

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
    reader = PieceReader(folder, metadata)
    listed = [_listed(name, key, state, metadata) for key, name in names.items()]
    for pieces in listed:
        reader.check_files(pieces)
    tensors, late = _tensors(listed, reader)
    _check_ends(state, reader.files)
    is_mixed = len(names) < len(state.tensors)
    return Contents(with_ties(tensors, reader.sums, late), mixed=is_mixed), reader.files


def _tensors(
    listed: list[Listed], reader: PieceReader
) -> tuple[dict[str, TensorInfo], dict[str, object]]:
    """The tensors, and where those are said to lie whose pieces were not all looked at."""
    count = sum(len(pieces.boxes) for pieces in listed)
    left = count if count <= MAX_LOOKED_AT else _OF_MORE
    tied = candidates({pieces.name: (pieces.shape, pieces.dtype) for pieces in listed})
    wholes = dict[str, TensorInfo]()
    # First those of which each piece is wanted.
    for pieces in listed:
        if (count <= MAX_LOOKED_AT or pieces.name in tied) and len(pieces.boxes) <= left:
            left -= len(pieces.boxes)
            found = reader.pieces(pieces, len(pieces.boxes))
            wholes[pieces.name] = joined(pieces.name, pieces.shape, pieces.dtype, found)
    tensors = dict[str, TensorInfo]()
    late = dict[str, object]()
    for pieces in listed:
        name = pieces.name
        if name in wholes:
            tensors[name] = wholes[name]
            continue
        parts = LateParts(len(pieces.boxes), partial(reader.pieces, pieces))
        is_archive = False
        if left > 0:
            left -= 1
            is_archive = parts[0].record is not None
        tensors[name] = _late(pieces, parts, reader)
        # All tensors of a safetensors file are said to lie where it begins.
        late[name] = (*pieces.places, *pieces.boxes) if is_archive else name
    return tensors, late


def _late(pieces: Listed, parts: LateParts, reader: PieceReader) -> TensorInfo:
    nbytes = bytes_of(pieces.dtype, prod(pieces.shape))
    # torch's dtypes fill whole bytes.
    assert nbytes is not None
    first = pieces.places[0]
    return TensorInfo(
        pieces.name,
        pieces.shape,
        pieces.dtype,
        reader.file(first.name),
        first.offset,
        nbytes,
        parts=parts,
    )


def _check_ends(state: SavedState, files: Mapping[str, File]) -> None:
    """Raise CheckpointError for a file that ends early, be it in what is no part of the model."""
    sizes = {name: file.size for name, file in files.items()}
    for place in state.places.values():
        size = sizes.get(place.name)
        if size is not None and place.offset + place.length > size:
            file = files[place.name]
            raise CheckpointError(file, f"truncated: ends at byte {size} inside a piece")


def _listed(name: str, key: str, state: SavedState, metadata: File) -> Listed:
    saved = state.tensors[key]
    # A process without a share of the tensor saves an empty piece, or none: where all are empty,
    # one of them is enough.
    boxes = [box for box in saved.chunks if 0 not in box[1]]
    boxes = boxes or [box for box in saved.chunks if (key, box[0]) in state.places][:1]
    if not boxes:
        raise CheckpointError(metadata, f"tensor {name!r} has no pieces")
    # Before any is read: a stranger may list one many times.
    check_cover(name, saved.shape, boxes, metadata)
    places = [state.places.get((key, start)) for start, _ in boxes]
    found = [place for place in places if place is not None]
    if len(found) < len(places):
        raise CheckpointError(metadata, f"tensor {name!r}: a piece of it is stored nowhere")
    return Listed(name, key, saved.dtype, saved.shape, boxes, found)
