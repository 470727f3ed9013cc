"""What did the user name? A file, a shard index or a folder, opened as one checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prunescope.checkpoint.adapter import ADAPTER_CONFIG, adapter_in
from prunescope.checkpoint.folder import (
    INDEX_SUFFIX,
    METADATA,
    PIECES_SUFFIX,
    find_weights,
    is_distributed,
    read_index,
)
from prunescope.checkpoint.formats import read
from prunescope.checkpoint.jsonfile import read_beside
from prunescope.checkpoint.storage import File, Folder, LocalFile, LocalFolder
from prunescope.checkpoint.types import Checkpoint, Contents, TensorInfo
from prunescope.errors import CheckpointError

CONFIG = "config.json"


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Read the headers of a file, a shard index or a model folder.

    Args:
        path: a weight file, a `*.index.json`, or a folder of them; of a torch.distributed
            checkpoint, its folder or the `.metadata` in it.

    Raises:
        CheckpointError: naming file and cause, for whatever cannot be read as a checkpoint.
    """
    folder, name = locate(path)
    if name == METADATA or (name is None and is_distributed(folder)):
        return _distributed(path, folder)
    if name is None:
        files, places = find_weights(folder)
    elif name.endswith(INDEX_SUFFIX):
        files, places = read_index(folder, name)
    elif name.endswith(PIECES_SUFFIX):
        raise CheckpointError(path, "holds pieces of a distributed checkpoint: name its folder")
    else:
        files, places = {name: _named(path, folder, name)}, {}
    found = [read(file) for file in files.values()]
    formats = sorted({kind for kind, _ in found})
    if len(formats) > 1:
        raise CheckpointError(path, f"shards of different formats: {', '.join(formats)}")
    contents = [content for _, content in found]
    tensors = _merged(files, contents, places)
    _check_complete(tensors, places, path)
    metadata: dict[str, str] = {}
    config: dict[str, Any] = {}
    for content in contents:
        metadata.update(content.metadata)
        config.update(content.config)
    adapter = adapter_in(folder, files, tensors)
    return Checkpoint(
        str(path),
        formats[0],
        tensors,
        tuple(files.values()),
        folder,
        metadata,
        read_beside(folder, CONFIG) or config,
        name is None or folder.has(ADAPTER_CONFIG if adapter else CONFIG),
        adapter,
        any(content.mixed for content in contents),
    )


def _distributed(path: str | Path, folder: Folder) -> Checkpoint:
    from prunescope.checkpoint.torch_distributed import FORMAT
    from prunescope.checkpoint.torch_distributed import read as read_folder

    contents, files = read_folder(folder)
    return Checkpoint(
        str(path),
        FORMAT,
        contents.tensors,
        tuple(files.values()),
        folder,
        contents.metadata,
        read_beside(folder, CONFIG),
        owns_home=True,
        adapter=adapter_in(folder, files, contents.tensors),
        mixed=contents.mixed,
    )


def locate(path: str | Path) -> tuple[Folder, str | None]:
    """The folder that `path` is, or that it lies in; and the file's name, where it is a file.

    Raises:
        CheckpointError: there is nothing of that name.
    """
    local = Path(path)
    try:
        if local.is_dir():
            return LocalFolder(local), None
        if not local.exists():
            raise CheckpointError(path, "no such file or directory")
    except OSError as err:
        raise CheckpointError(path, f"cannot be read ({err.strerror})") from None
    return LocalFolder(local.parent), local.name


def _named(path: str | Path, folder: Folder, name: str) -> File:
    # A file that the user names may be a link to anywhere.
    return folder.file(name) if folder.local is None else LocalFile(Path(path))


def _merged(
    files: Mapping[str, File], contents: list[Contents], places: Mapping[str, str]
) -> dict[str, TensorInfo]:
    tensors: dict[str, TensorInfo] = {}
    for (shard, file), content in zip(files.items(), contents, strict=True):
        for name, tensor in content.tensors.items():
            if name in tensors:
                raise CheckpointError(file, f"tensor {name!r} is also in {tensors[name].file.name}")
            if places and places.get(name) != shard:
                listed = places.get(name)
                cause = f"is listed in {listed}" if listed else "is not in the shard index"
                raise CheckpointError(file, f"tensor {name!r} {cause}")
            tensors[name] = tensor
    return tensors


def _check_complete(
    tensors: Mapping[str, TensorInfo], places: Mapping[str, str], path: str | Path
) -> None:
    missing = next((name for name in places if name not in tensors), None)
    if missing is not None:
        raise CheckpointError(path, f"tensor {missing!r} is not in shard {places[missing]}")
    if not tensors:
        raise CheckpointError(path, "holds no tensor")
