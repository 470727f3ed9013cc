"""What did the user name? A file, a shard index or a folder, opened as one checkpoint."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from prunescope.checkpoint.folder import INDEX_SUFFIX, find_weights, read_index
from prunescope.checkpoint.formats import read
from prunescope.checkpoint.jsonfile import read_beside
from prunescope.checkpoint.storage import File, Folder, LocalFile, LocalFolder
from prunescope.checkpoint.types import Checkpoint, Contents, TensorInfo
from prunescope.errors import CheckpointError, MissingExtra

CONFIG = "config.json"
T = TypeVar("T")
# `org/model` or `org/model@revision`, as opposed to the path of a file.
_HUB_ID = re.compile(r"(\w[\w.-]*)/(?![^@]*\.(?:safetensors|bin|pth?|json|gguf)$)\w[\w.-]*(@\S+)?")


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Read the headers of a file, a shard index or a model folder, here or far away.

    Args:
        path: a weight file, a `*.index.json`, or a folder of them; as text also the address of
            one (`https://`, `s3://`, …), or a model of a hub: `hf://org/model@revision/file`,
            or `org/model` where there is no such path.

    Raises:
        CheckpointError: naming file and cause, for whatever cannot be read as a checkpoint.
        MissingExtra: a remote place that needs a package that is not installed.
    """
    folder, name = locate(path)
    try:
        return _open(_shown(path), folder, name)
    finally:
        folder.close()


def _open(shown: str, folder: Folder, name: str | None) -> Checkpoint:
    if name is None:
        files, places = find_weights(folder)
    elif name.endswith(INDEX_SUFFIX):
        files, places = read_index(folder, name)
    else:
        files, places = {name: _named(folder, name)}, {}
    far = any(file.local is None for file in files.values())
    # The config is one more thing to wait for at the same time.
    calls: list[Callable[[], Any]] = [partial(read, file) for file in files.values()]
    calls.append(partial(read_beside, folder, CONFIG))
    *found, beside = _results(calls, far)
    formats = sorted({kind for kind, _ in found})
    if len(formats) > 1:
        raise CheckpointError(shown, f"shards of different formats: {', '.join(formats)}")
    contents = [content for _, content in found]
    tensors = _merged(files, contents, places)
    _check_complete(tensors, places, shown)
    metadata: dict[str, str] = {}
    config: dict[str, Any] = {}
    for content in contents:
        metadata.update(content.metadata)
        config.update(content.config)
    return Checkpoint(
        shown,
        formats[0],
        tensors,
        tuple(files.values()),
        folder,
        metadata,
        beside or config,
        name is None or folder.has(CONFIG),
    )


def locate(path: str | Path) -> tuple[Folder, str | None]:
    """The folder that `path` is, or that it lies in; and the file's name, where it is a file.

    Raises:
        CheckpointError: there is nothing of that name.
        MissingExtra: a remote place that needs a package that is not installed.
    """
    if isinstance(path, str) and "://" in path:
        if not path.startswith("file://"):
            from prunescope.checkpoint import remote

            return remote.locate(path)
        path = unquote(path.removeprefix("file://"))
    local = Path(path)
    try:
        if local.is_dir():
            return LocalFolder(local), None
        if local.exists():
            return LocalFolder(local.parent), local.name
    except OSError as err:
        raise CheckpointError(path, f"cannot be read ({err.strerror})") from None
    found = _HUB_ID.fullmatch(path) if isinstance(path, str) else None
    if found is None or Path(found[1]).exists():
        raise CheckpointError(path, "no such file or directory")
    return _on_hub(str(path))


def _on_hub(name: str) -> tuple[Folder, str | None]:
    try:
        from prunescope.checkpoint.remote import hub

        return hub.locate(name)
    except CheckpointError as err:
        cause = f"no such file or directory; as a hub's model: {err.cause}"
        raise CheckpointError(name, cause) from None
    except MissingExtra as err:
        cause = f"no such file or directory; to look for it on a hub: {err}"
        raise CheckpointError(name, cause) from None


def _results(calls: Sequence[Callable[[], T]], far: bool) -> list[T]:
    if not far:
        return [call() for call in calls]
    from prunescope.checkpoint.remote.waiting import in_order

    return in_order(calls)


def _shown(path: str | Path) -> str:
    if "://" not in str(path):
        return str(path)
    from prunescope.checkpoint.remote.urls import shown

    return shown(str(path))


def _named(folder: Folder, name: str) -> File:
    # A file that the user names may be a link to anywhere.
    return LocalFile(folder.path / name) if isinstance(folder, LocalFolder) else folder.file(name)


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
    tensors: Mapping[str, TensorInfo], places: Mapping[str, str], path: str
) -> None:
    missing = next((name for name in places if name not in tensors), None)
    if missing is not None:
        raise CheckpointError(path, f"tensor {missing!r} is not in shard {places[missing]}")
    if not tensors:
        raise CheckpointError(path, "holds no tensor")
