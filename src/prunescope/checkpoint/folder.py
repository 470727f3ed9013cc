"""Which files of a folder are the model's weights? No path an index names may leave the folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from prunescope.checkpoint.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from prunescope.checkpoint.jsonfile import read_object
from prunescope.checkpoint.numbered import check_numbers
from prunescope.checkpoint.storage import File, Folder, LocalFolder
from prunescope.errors import CheckpointError, NoWeights

INDEX_SUFFIX = ".index.json"
# What torch.distributed.checkpoint writes: a list of everything, and files of pieces.
METADATA = ".metadata"
PIECES_SUFFIX = ".distcp"
GGUF_SUFFIX = ".gguf"
# In the order transformers looks for them.
_PREFERRED = (
    "model.safetensors",
    "model.safetensors" + INDEX_SUFFIX,
    "pytorch_model.bin",
    "pytorch_model.bin" + INDEX_SUFFIX,
)
_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
# Where the hub's cache has the folders of a model's revisions.
_SNAPSHOTS = "snapshots"
_MOST_BELOW = 100
# Six times the most that a public model has.
MAX_FILES = 5000
# What training leaves beside the weights; never a model.
_NOT_WEIGHTS = {"training_args.bin", "optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt"}


def weight_files(folder: Folder, name: str | None) -> tuple[dict[str, File], dict[str, str]]:
    """The weight files of the model in `folder`, or of the one that its file `name` belongs to.

    Returns:
        Files by name, and tensor → file name where an index says so.

    Raises:
        CheckpointError: as `find_weights`, `read_index` and `gguf_split.shard_names`.
    """
    if name is None:
        return find_weights(folder)
    if name.endswith(INDEX_SUFFIX):
        return read_index(folder, name)
    if name.endswith(PIECES_SUFFIX):
        place = folder.file(name)
        raise CheckpointError(place, "holds pieces of a distributed checkpoint: name its folder")
    if not name.endswith(GGUF_SUFFIX):
        return {name: folder.named(name)}, {}
    from prunescope.checkpoint import gguf_split

    shards = gguf_split.shard_names(folder, name)
    _check_count(folder, shards)
    return {
        shard: folder.named(shard) if shard == name else folder.file(shard) for shard in shards
    }, {}


def is_distributed(folder: Folder) -> bool:
    """Whether the model in `folder` is a torch.distributed checkpoint.

    Weights that transformers would load come first: they are the model, merged.

    Raises:
        CheckpointError: there are pieces of one, but a save that was cut short left no list.
    """
    names = set(folder.names())
    if not names.isdisjoint(_PREFERRED):
        return False
    if METADATA not in names and any(name.endswith(PIECES_SUFFIX) for name in names):
        raise CheckpointError(
            folder, f"holds {PIECES_SUFFIX} files but no {METADATA}: was the save cut short?"
        )
    return METADATA in names


def find_weights(folder: Folder) -> tuple[dict[str, File], dict[str, str]]:
    """The weight files of `folder` by name, and tensor → file name where an index says so.

    Raises:
        NoWeights: none here.
        CheckpointError: an index that names a file outside the folder, a numbered file that is
            missing, or GGUF files of several models.
    """
    names = folder.names()
    for name in _PREFERRED:
        if name in names:
            if name.endswith(INDEX_SUFFIX):
                return read_index(folder, name)
            return {name: folder.file(name)}, {}
    index = next((name for name in names if name.endswith(INDEX_SUFFIX)), None)
    if index is not None:
        return read_index(folder, index)
    adapter = next((name for name in ADAPTER_WEIGHTS if name in names), None)
    if adapter is not None and ADAPTER_CONFIG in names:
        return {adapter: folder.file(adapter)}, {}
    for suffix in _SUFFIXES:
        found = _weights(names, suffix)
        if found:
            _check_count(folder, found)
            check_numbers(folder, found)
            return {name: folder.file(name) for name in found}, {}
    if not any(name.endswith(GGUF_SUFFIX) for name in names):
        cause = f"no weights here: no {', '.join(_SUFFIXES)} or {GGUF_SUFFIX}"
        raise NoWeights(folder, cause + _place_below(folder))
    from prunescope.checkpoint import gguf_split

    shards = gguf_split.model_names(folder, names)
    _check_count(folder, shards)
    return {name: folder.file(name) for name in shards}, {}


def _place_below(folder: Folder) -> str:
    """Which folder in it was meant, if one has weights: of a training, or of the hub's cache."""
    # A hub's folder asks here for its weights before it tells whether it is local.
    if not isinstance(folder, LocalFolder):
        return ""
    with suppress(OSError):
        for place in (folder.path, folder.path / _SNAPSHOTS):
            if place.is_dir():
                below = sorted(entry for entry in place.iterdir() if entry.is_dir())
                for entry in below[:_MOST_BELOW]:
                    if any(_is_weights(file.name) for file in entry.iterdir()):
                        return f"; name {entry.relative_to(folder.path)} in it"
    return ""


def _is_weights(name: str) -> bool:
    return name == METADATA or bool(_weights([name], (*_SUFFIXES, GGUF_SUFFIX)))


def _weights(names: Sequence[str], suffix: str | tuple[str, ...]) -> list[str]:
    return [name for name in names if name.endswith(suffix) and name not in _NOT_WEIGHTS]


def _check_count(place: object, files: Sequence[str]) -> None:
    if len(files) > MAX_FILES:
        raise CheckpointError(place, f"{len(files)} weight files: over {MAX_FILES}")


def read_index(folder: Folder, name: str) -> tuple[dict[str, File], dict[str, str]]:
    """The shards that the index `name` lists, by name, and its tensor → shard map."""
    file = folder.file(name)
    index = read_object(file, "shard index")
    places = index.get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError(file, "shard index has no weight_map")
    if not all(isinstance(shard, str) for shard in places.values()):
        raise CheckpointError(file, "weight_map names a file that is not a string")
    shards_named = sorted(set(places.values()))
    _check_count(file, shards_named)
    shards = {shard: folder.file(shard) for shard in shards_named}
    missing = folder.missing(shards)
    if missing is not None:
        raise CheckpointError(file, f"shard {missing!r} is missing")
    return shards, places
