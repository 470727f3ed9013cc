"""Where is a pass's unfinished work kept? In memory, or in a folder that outlives the process.

An entry is written whole or not at all, and says nothing of how far its neighbours are: whoever
finds one may rely on it.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from prunescope.atomic import replacing
from prunescope.checkpoint import safetensors
from prunescope.checkpoint.storage import LocalFile
from prunescope.errors import CheckpointError, PrunescopeError, first_line
from prunescope.extras import require

if TYPE_CHECKING:
    from torch import Tensor

_KEY = "progress.json"
_ENTRY = re.compile(r"([a-z]+-\d+)\.safetensors")


class Shelf:
    """Named groups of tensors."""

    def __init__(self, folder: Path | None = None) -> None:
        """Keep them in `folder`, which exists; in memory without one."""
        self._folder = folder
        self._held: dict[str, dict[str, Tensor]] = {}
        files = require("safetensors.torch", "prune")
        self._load, self._save = files.load_file, files.save_file

    def __str__(self) -> str:
        return "memory" if self._folder is None else str(self._folder)

    def put(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep `tensors`, on the CPU.

        Raises:
            PrunescopeError: the folder cannot be written to.
        """
        held = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
        if self._folder is None:
            self._held[name] = held
            return
        with replacing(self._folder / f"{name}.safetensors") as path:
            self._save(held, path)

    def get(self, name: str) -> dict[str, Tensor]:
        """The tensors of an entry that is there.

        Raises:
            CheckpointError: its file has been damaged or removed.
        """
        if self._folder is None:
            return self._held[name]
        path = self._folder / f"{name}.safetensors"
        try:
            tensors: dict[str, Tensor] = self._load(path)
        except Exception as err:  # safetensors' own errors, and the system's
            raise CheckpointError(path, f"cannot be read ({first_line(err)})") from None
        return tensors

    def drop(self, name: str) -> None:
        """Forget an entry, if it is there."""
        if self._folder is None:
            self._held.pop(name, None)
        else:
            (self._folder / f"{name}.safetensors").unlink(missing_ok=True)

    def names(self) -> set[str]:
        """The entries there are."""
        if self._folder is None:
            return set(self._held)
        found = (_ENTRY.fullmatch(entry.name) for entry in self._folder.iterdir())
        return {match[1] for match in found if match}


class SpilledShelf(Shelf):
    """In a temporary folder, for what is too much for memory."""

    def __init__(self) -> None:
        self._temporary = TemporaryDirectory(prefix="prunescope-")
        super().__init__(Path(self._temporary.name))


def kept_shelf(folder: Path, key: Mapping[str, Any]) -> Shelf:
    """The shelf in `folder`: with what an interrupted pass of the same `key` has left, else empty.

    Raises:
        PrunescopeError: the folder holds other files, or cannot be written to.
        CheckpointError: an entry is damaged, which would show after hours.
    """
    text = json.dumps(key, indent=2, sort_keys=True)
    try:
        if folder.exists():
            if not _is_ours(folder):
                raise PrunescopeError(f"{folder}: holds other files, progress is to be kept here")
            marker = folder / _KEY
            if marker.exists() and marker.read_text("utf-8") == text:
                shelf = Shelf(folder)
                for name in sorted(shelf.names()):
                    _check(folder / f"{name}.safetensors")
                return shelf
            clear(folder)
        folder.mkdir(parents=True)
    except (OSError, UnicodeDecodeError) as err:
        raise PrunescopeError(f"{folder}: cannot keep progress ({err})") from None
    with replacing(folder / _KEY) as path:
        path.write_text(text, "utf-8")
    return Shelf(folder)


def clear(folder: Path) -> None:
    """Remove the folder of a kept shelf."""
    if folder.is_dir() and _is_ours(folder):
        shutil.rmtree(folder, ignore_errors=True)


def _check(entry: Path) -> None:
    try:
        safetensors.read(LocalFile(entry))
    except CheckpointError as err:
        cause = f"{err.cause}: remove {entry.parent} to begin anew"
        raise CheckpointError(entry, cause) from None


def _is_ours(folder: Path) -> bool:
    # `replacing` builds files under a hidden name, which a killed process leaves behind.
    return all(
        entry.name == _KEY or _ENTRY.fullmatch(entry.name) or entry.name.startswith(".")
        for entry in folder.iterdir()
    )
