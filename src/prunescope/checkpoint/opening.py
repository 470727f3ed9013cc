"""What did the user name? A file, a shard index or a folder, opened as one checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from prunescope.checkpoint.adapter import ADAPTER_CONFIG, adapter_in
from prunescope.checkpoint.budget import Budget
from prunescope.checkpoint.folder import METADATA, is_distributed, weight_files
from prunescope.checkpoint.formats import read
from prunescope.checkpoint.jsonfile import read_beside
from prunescope.checkpoint.places import locate, shown
from prunescope.checkpoint.storage import File, Folder
from prunescope.checkpoint.types import Checkpoint, Contents, TensorInfo
from prunescope.checkpoint.wrapper_names import WRAPPERS, without_wrappers
from prunescope.errors import CheckpointError

CONFIG = "config.json"
T = TypeVar("T")
# As Meta, Mistral, torchtitan and torchtune name it.
_METAS = "tok_embeddings.weight"
_PARTS = ": parts of tensors, as Meta saves them for several devices, are not read"


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Read the headers of a file, a shard index or a model folder, here or far away.

    Args:
        path: a weight file, a `*.index.json`, a shard of a split GGUF, or a folder of them; of a
            torch.distributed checkpoint, its folder or the `.metadata` in it. As text also the
            address of one (`https://`, `s3://`, …), or a model of a hub:
            `hf://org/model@revision/file`, or `org/model` where there is no such path.

    Raises:
        CheckpointError: naming file and cause, for whatever cannot be read as a checkpoint.
        MissingExtra: a remote place that needs a package that is not installed.
    """
    folder, name = locate(path)
    try:
        return _open(shown(path), folder, name)
    finally:
        folder.close()


def _open(path: str, folder: Folder, name: str | None) -> Checkpoint:
    if name == METADATA or (name is None and is_distributed(folder)):
        return _distributed(path, folder)
    files, places = weight_files(folder, name)
    # The config is one more thing to wait for at the same time.
    budget = Budget()
    calls: list[Callable[[], Any]] = [partial(_read, file, budget) for file in files.values()]
    calls.append(partial(read_beside, folder, CONFIG))
    *found, beside = _results(calls, far=any(file.local is None for file in files.values()))
    formats = sorted({kind for kind, _ in found})
    if len(formats) > 1:
        raise CheckpointError(path, f"shards of different formats: {', '.join(formats)}")
    contents = [content for _, content in found]
    metadata: dict[str, str] = {}
    config: dict[str, Any] = {}
    if formats[0] == "GGUF":
        from prunescope.checkpoint import gguf_split

        config |= gguf_split.check_shards(files, contents)
    tensors = _merged(files, contents, places)
    _check_complete(tensors, places, path)
    for content in contents:
        metadata.update(content.metadata)
        config.update(content.config)
    tensors = _unwrapped(tensors, metadata)
    if not (beside or config):
        beside = _params(folder, tensors)
    config |= beside
    adapter = adapter_in(folder, files, tensors)
    return Checkpoint(
        path,
        formats[0],
        _logical(tensors, config, metadata),
        tuple(files.values()),
        folder,
        metadata,
        config,
        name is None or folder.has(ADAPTER_CONFIG if adapter else CONFIG),
        adapter,
        any(content.mixed for content in contents),
    )


def _params(folder: Folder, tensors: Mapping[str, TensorInfo]) -> dict[str, Any]:
    # What other models have beside them may be any file of that name, and costs a request.
    if _METAS not in tensors:
        return {}
    from prunescope.checkpoint.params_file import read_params

    return read_params(folder, tensors)


def _read(file: File, budget: Budget) -> tuple[str, Contents]:
    kind, contents = read(file)
    return kind, budget.spend(file, contents)


def _logical(
    tensors: dict[str, TensorInfo], config: Mapping[str, Any], notes: Mapping[str, str]
) -> dict[str, TensorInfo]:
    # What is packed has parts of other names; most models have none, and need no such reader.
    if all(name.endswith((".weight", ".bias")) for name in tensors):
        return tensors
    from prunescope.checkpoint.quantized import as_quantised

    return as_quantised(tensors, config, notes)


def _distributed(path: str, folder: Folder) -> Checkpoint:
    from prunescope.checkpoint.torch_distributed import FORMAT
    from prunescope.checkpoint.torch_distributed import read as read_folder

    contents, files = read_folder(folder)
    return Checkpoint(
        path,
        FORMAT,
        contents.tensors,
        tuple(files.values()),
        folder,
        contents.metadata,
        read_beside(folder, CONFIG) or _params(folder, contents.tensors),
        owns_home=True,
        adapter=adapter_in(folder, files, contents.tensors),
        mixed=contents.mixed,
    )


def _unwrapped(tensors: dict[str, TensorInfo], metadata: dict[str, str]) -> dict[str, TensorInfo]:
    """`tensors` under the model's own names: of all shards together, as an index has them."""
    if not tensors:
        return tensors
    names, wrappers = without_wrappers(list(tensors), next(iter(tensors.values())).file)
    if not wrappers:
        return tensors
    metadata[WRAPPERS] = " ".join(wrappers)
    short = dict(zip(tensors, names, strict=True))
    renamed = {}
    for name, tensor in tensors.items():
        owner = None if tensor.shared_with is None else short[tensor.shared_with]
        renamed[short[name]] = replace(tensor, name=short[name], shared_with=owner)
    return renamed


def _results(calls: Sequence[Callable[[], T]], far: bool) -> list[T]:
    if not far:
        return [call() for call in calls]
    from prunescope.checkpoint.remote.waiting import in_order

    return in_order(calls)


def _merged(
    files: Mapping[str, File], contents: list[Contents], places: Mapping[str, str]
) -> dict[str, TensorInfo]:
    tensors: dict[str, TensorInfo] = {}
    for (shard, file), content in zip(files.items(), contents, strict=True):
        for name, tensor in content.tensors.items():
            if name in tensors:
                cause = f"tensor {name!r} is also in {tensors[name].file.name}"
                if file.name.startswith("consolidated."):
                    cause += _PARTS
                raise CheckpointError(file, cause)
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
