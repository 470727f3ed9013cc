"""Which files of a folder are the model's weights? No path an index names may leave the folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from prunescope.checkpoint.jsonfile import read_object
from prunescope.errors import CheckpointError, NoWeights

INDEX_SUFFIX = ".index.json"
# In the order transformers looks for them.
_PREFERRED = (
    "model.safetensors",
    "model.safetensors" + INDEX_SUFFIX,
    "pytorch_model.bin",
    "pytorch_model.bin" + INDEX_SUFFIX,
)
_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
# What training leaves beside the weights; never a model.
_NOT_WEIGHTS = {"training_args.bin", "optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt"}


def find_weights(folder: Path) -> tuple[tuple[Path, ...], dict[str, Path]]:
    """The weight files of `folder`, and tensor → file where an index says so.

    Raises:
        NoWeights: none here.
        CheckpointError: an index that names a file outside the folder.
    """
    for name in _PREFERRED:
        if (folder / name).is_file():
            if name.endswith(INDEX_SUFFIX):
                return read_index(folder / name)
            return (inside(folder, name),), {}
    indexes = sorted(folder.glob("*" + INDEX_SUFFIX))
    if indexes:
        return read_index(indexes[0])
    for suffix in _SUFFIXES:
        names = sorted(
            entry.name
            for entry in folder.iterdir()
            if entry.suffix == suffix and entry.is_file() and entry.name not in _NOT_WEIGHTS
        )
        if names:
            return tuple(inside(folder, name) for name in names), {}
    raise NoWeights(folder, "no weights here: no .safetensors, .bin, .pt or .pth file")


def read_index(path: Path) -> tuple[tuple[Path, ...], dict[str, Path]]:
    """The shards an index file names, in order of name, and its tensor → file map."""
    index = read_object(path, "shard index")
    names = index.get("weight_map")
    if not isinstance(names, dict) or not names:
        raise CheckpointError(path, "shard index has no weight_map")
    if not all(isinstance(name, str) for name in names.values()):
        raise CheckpointError(path, "weight_map names a file that is not a string")
    shards = {name: inside(path.parent, name) for name in sorted(set(names.values()))}
    for name, shard in shards.items():
        if not shard.is_file():
            raise CheckpointError(path, f"shard {name!r} is missing")
    return tuple(shards.values()), {tensor: shards[name] for tensor, name in names.items()}


def inside(folder: Path, name: str) -> Path:
    """`folder/name`, once it is sure not to lead out of the folder.

    A link may lead into the `blobs` of the same model in the hub's cache, whose snapshots are
    made of such links.

    Raises:
        CheckpointError: an absolute path, `..`, or a link that leaves the folder.
    """
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\0" in name or "\\" in name:
        raise CheckpointError(folder, f"file name {name!r} leads out of the folder")
    path = folder / name
    try:
        target, root = path.resolve(), folder.resolve()
    except (OSError, RuntimeError, UnicodeError) as err:
        # Before Python 3.13 a loop of links is a RuntimeError.
        raise CheckpointError(folder, f"file name {name!r} cannot be followed ({err})") from None
    allowed = [root]
    if root.parent.name == "snapshots":
        allowed.append(root.parent.parent / "blobs")
    if not any(target.is_relative_to(place) for place in allowed):
        raise CheckpointError(path, "is a link that leaves the model's folder")
    return path


def read_config(folder: Path) -> Mapping[str, Any]:
    """`config.json` of `folder`; empty without one."""
    if not (folder / "config.json").is_file():
        return {}
    return read_object(inside(folder, "config.json"), "config.json")
