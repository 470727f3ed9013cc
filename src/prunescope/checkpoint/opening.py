"""What did the user name, and which reader understands it? The content decides, not the name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prunescope.checkpoint import safetensors, torch_zip
from prunescope.checkpoint.folder import INDEX_SUFFIX, find_weights, read_config, read_index
from prunescope.checkpoint.types import Checkpoint, TensorInfo
from prunescope.errors import CheckpointError

_KNOWN_OTHERS = {
    b"GGUF": "is a GGUF file; prunescope reads safetensors and torch zip files",
    b"version https://git-lfs": "is a Git LFS pointer: run  git lfs pull",
}
_PICKLE = "is a bare pickle (torch < 1.6, or not a model); save it again with torch >= 1.6"
_UNKNOWN = "neither safetensors nor a torch zip file"


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Read the headers of a file, a shard index or a model folder.

    Args:
        path: a `.safetensors` or `torch.save` file, a `*.index.json`, or a folder of them.

    Raises:
        CheckpointError: naming file and cause, for whatever cannot be read as a checkpoint.
    """
    path = Path(path)
    try:
        if path.is_dir():
            files, places = find_weights(path)
        elif not path.exists():
            raise CheckpointError(path, "no such file or directory")
        elif path.name.endswith(INDEX_SUFFIX):
            files, places = read_index(path)
        else:
            files, places = (path,), {}
    except OSError as err:
        raise CheckpointError(path, f"cannot be read ({err.strerror})") from None
    tensors: dict[str, TensorInfo] = {}
    metadata: dict[str, str] = {}
    kinds: set[str] = set()
    for file in files:
        kind, found, notes = _read(file)
        kinds.add(kind)
        metadata.update(notes)
        _merge(tensors, found, places, file)
    _check_complete(tensors, places, path)
    if len(kinds) > 1:
        raise CheckpointError(path, f"shards of different formats: {', '.join(sorted(kinds))}")
    folder = path if path.is_dir() else path.parent
    config = read_config(folder)
    own = folder if path.is_dir() or (folder / "config.json").is_file() else None
    return Checkpoint(path, kinds.pop(), tensors, files, metadata, config, own)


def _read(file: Path) -> tuple[str, dict[str, TensorInfo], dict[str, str]]:
    try:
        with file.open("rb") as stream:
            head = stream.read(64)
        size = file.stat().st_size
    except OSError as err:
        raise CheckpointError(file, f"cannot be read ({err.strerror})") from None
    if torch_zip.looks_like(head):
        return "torch zip", torch_zip.read_header(file), {}
    if not safetensors.looks_like(head, size):
        for magic, cause in _KNOWN_OTHERS.items():
            if head.startswith(magic):
                raise CheckpointError(file, cause)
        if file.suffix != ".safetensors":
            cause = _PICKLE if head.startswith(b"\x80") else _UNKNOWN
            raise CheckpointError(file, cause if head else "empty")
    tensors, notes = safetensors.read_header(file)
    return "safetensors", tensors, notes


def _merge(
    tensors: dict[str, TensorInfo],
    found: Mapping[str, TensorInfo],
    places: Mapping[str, Path],
    file: Path,
) -> None:
    for name, tensor in found.items():
        if name in tensors:
            raise CheckpointError(file, f"tensor {name!r} is also in {tensors[name].file.name}")
        if places and places.get(name) != file:
            listed = places.get(name)
            cause = f"is listed in {listed.name}" if listed else "is not in the shard index"
            raise CheckpointError(file, f"tensor {name!r} {cause}")
        tensors[name] = tensor


def _check_complete(
    tensors: Mapping[str, TensorInfo], places: Mapping[str, Path], path: Path
) -> None:
    missing = next((name for name in places if name not in tensors), None)
    if missing is not None:
        raise CheckpointError(path, f"tensor {missing!r} is not in shard {places[missing].name}")
    if not tensors:
        raise CheckpointError(path, "holds no tensor")
