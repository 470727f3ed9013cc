"""What does the `.metadata` of a torch.distributed checkpoint say? Read, as all pickles, inertly.

It is one pickled `Metadata`: `state_dict_metadata`, name → TensorStorageMetadata(properties, size,
chunks of offsets and sizes); `planner_data`, name → the keys that led to it; `storage_data`,
MetadataIndex(fqn, offset) → _StorageInfo(relative_path, offset, length)
(https://github.com/pytorch/pytorch/blob/main/torch/distributed/checkpoint/metadata.py and
filesystem.py). Its classes' modules have moved between versions, so only their names are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any

from prunescope.checkpoint.collecting import no_collecting
from prunescope.checkpoint.dtypes import TORCH_DTYPES
from prunescope.checkpoint.pickle_machine import MAX_PICKLE, interpret
from prunescope.checkpoint.pickle_values import Bound, Call, Dict, Global, PickleError
from prunescope.checkpoint.storage import File
from prunescope.checkpoint.torch_storage import is_count, is_shape
from prunescope.errors import CheckpointError

# torch writes some 70 for each piece, more where a tensor has but one.
MAX_OPCODES = 15_000_000
# A stranger's pickle may list one object again and again.
MAX_PIECES = 200_000
MAX_ENTRIES = 250_000
# torch's classes have four at most.
_MAX_FIELDS = 16
_TOO_MANY = "merge it with torch (torch.distributed.checkpoint.format_utils)"
Sizes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Saved:
    """A tensor as it was saved.

    Attributes:
        path: the keys that led to it.
        chunks: (start, sizes) of its pieces.
    """

    path: tuple[str, ...]
    dtype: str
    shape: Sizes
    chunks: tuple[tuple[Sizes, Sizes], ...]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Where a piece lies: `length` bytes from `offset` of the file `name`."""

    name: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class SavedState:
    """Everything that was saved: its tensors by name, and where the piece of a tensor that starts
    somewhere is."""

    tensors: Mapping[str, Saved]
    places: Mapping[tuple[str, Sizes], Stretch]


def read_metadata(file: File) -> SavedState:
    """The tensors that a `.metadata` file lists.

    Raises:
        CheckpointError: it is no pickled Metadata, or one whose parts are malformed.
    """
    with no_collecting():
        return _state(file)


def _state(file: File) -> SavedState:
    fields, stored = _read(file)
    planner, entries = fields.get("planner_data"), fields.get("state_dict_metadata")
    if any(isinstance(d, Dict) and len(d.flat) // 2 > MAX_ENTRIES for d in (planner, entries)):
        raise CheckpointError(file, f"lists over {MAX_ENTRIES} entries")
    paths = planner.by_name() if isinstance(planner, Dict) else {}
    tensors, pieces = {}, 0
    # The pieces of a model start at few places and have few sizes: each is held once.
    known: dict[Sizes, Sizes] = {}
    for name, entry in (entries.by_name() if isinstance(entries, Dict) else {}).items():
        # What is no tensor is there as bytes of its own.
        if (found := _fields(entry, "TensorStorageMetadata")) is not None:
            chunks = found.get("chunks")
            pieces += len(chunks) if isinstance(chunks, list) else 0
            if pieces > MAX_PIECES:
                raise CheckpointError(file, f"lists over {MAX_PIECES} pieces: {_TOO_MANY}")
            tensors[name] = _saved(name, found, paths.get(name), known, file)
    return SavedState(tensors, _places(stored, known, file))


def read_places(file: File) -> Iterator[Stretch]:
    """Everything that a `.metadata` file says is stored, of tensors and of other objects.

    Raises:
        CheckpointError: it is no pickled Metadata, or one whose parts are malformed.
    """
    return (place for _, place in _stored(_read(file)[1], file))


def _read(file: File) -> tuple[dict[str, Any], Dict]:
    """The attributes of the `Metadata`, and which of them says where things are stored."""
    if file.size > MAX_PICKLE:
        raise CheckpointError(file, f"metadata is over {MAX_PICKLE >> 20} MiB")
    try:
        root = interpret(file.read(0, file.size), opcodes=MAX_OPCODES).root
    except Bound as err:
        raise CheckpointError(file, f"{err}: {_TOO_MANY}") from None
    except PickleError as err:
        raise CheckpointError(file, str(err)) from None
    fields = _fields(root, "Metadata")
    if fields is None:
        raise CheckpointError(file, "is no metadata of torch.distributed.checkpoint")
    stored = fields.get("storage_data")
    if not isinstance(stored, Dict):
        raise CheckpointError(file, "says nowhere where its tensors are stored")
    if len(stored.flat) // 2 > MAX_ENTRIES:
        raise CheckpointError(file, f"lists over {MAX_ENTRIES} entries")
    return fields, stored


def _saved(
    name: str, fields: Mapping[str, Any], path: Any, known: dict[Sizes, Sizes], file: File
) -> Saved:
    shape, chunks = _sizes(fields.get("size")), fields.get("chunks")
    if shape is None or not isinstance(chunks, list):
        raise CheckpointError(file, f"tensor {name!r} lacks its size or chunks")
    pieces = []
    for chunk in chunks:
        box = _fields(chunk, "ChunkStorageMetadata") or {}
        start, sizes = _sizes(box.get("offsets")), _sizes(box.get("sizes"))
        if start is None or sizes is None:
            raise CheckpointError(file, f"tensor {name!r} has a malformed chunk")
        pieces.append((known.setdefault(start, start), known.setdefault(sizes, sizes)))
    return Saved(_path(name, path), _dtype(name, fields, file), shape, tuple(pieces))


def _dtype(name: str, fields: Mapping[str, Any], file: File) -> str:
    properties = fields.get("properties")
    state = properties.state if isinstance(properties, Call) else None
    kind = state[0] if isinstance(state, tuple) and state else None
    dtype = TORCH_DTYPES.get(kind.name) if isinstance(kind, Global) else None
    if dtype is None:
        raise CheckpointError(file, f"tensor {name!r} is of no dtype that prunescope knows")
    return dtype


def _path(name: str, path: Any) -> tuple[str, ...]:
    """The keys that led to a tensor; its name alone where they do not add up to that."""
    # The name's length first: a stranger's path may be long, and the same for all names.
    if isinstance(path, tuple) and 0 < len(path) <= len(name) + 1:
        keys = tuple(str(key) if is_count(key) else key for key in path)
        texts = [key for key in keys if isinstance(key, str)]
        if len(texts) == len(keys) and sum(map(len, texts)) + len(keys) - 1 == len(name):
            return tuple(texts) if ".".join(texts) == name else (name,)
    return (name,)


def _places(
    stored: Dict, known: dict[Sizes, Sizes], file: File
) -> dict[tuple[str, Sizes], Stretch]:
    places: dict[tuple[str, Sizes], Stretch] = {}
    for key, place in _stored(stored, file):
        start = _sizes(key.get("offset"))
        if start is None:
            # Bytes of an object that is no tensor.
            continue
        piece = (intern(key["fqn"]), known.setdefault(start, start))
        if piece in places:
            raise CheckpointError(file, f"a piece of tensor {key['fqn']!r} is listed twice")
        places[piece] = place
    return places


def _stored(stored: Dict, file: File) -> Iterator[tuple[dict[str, Any], Stretch]]:
    """The attributes of each `MetadataIndex`, its `fqn` a string, and the place that it has."""
    for index, info in stored.pairs:
        key, place = _fields(index, "MetadataIndex"), _fields(info, "_StorageInfo")
        if key is None or place is None or not isinstance(key.get("fqn"), str):
            raise CheckpointError(file, "storage_data has an entry that is none")
        name, offset, length = (place.get(k) for k in ("relative_path", "offset", "length"))
        if not isinstance(name, str) or not (is_count(offset) and is_count(length)):
            raise CheckpointError(file, f"{key['fqn']!r} has no place in a file")
        if place.get("transform_descriptors"):
            raise CheckpointError(file, f"{key['fqn']!r} is stored transformed (compressed)")
        yield key, Stretch(intern(name), offset, length)


def _fields(value: Any, name: str) -> dict[str, Any] | None:
    """The attributes of an object of the class `name`; None where it is none."""
    if not isinstance(value, Call) or not isinstance(value.function, Global):
        return None
    if value.function.name != name:
        return None
    state = value.state
    # By name, whatever there is is gone through.
    return state.by_name() if isinstance(state, Dict) and len(state.flat) <= 2 * _MAX_FIELDS else {}


def _sizes(value: Any) -> Sizes | None:
    """A torch.Size; None where it is none."""
    if isinstance(value, Call) and isinstance(value.arguments, tuple) and value.arguments:
        value = value.arguments[0]
    return value if is_shape(value) else None
