"""May this folder be written to? Not over somebody else's model, and never over the source."""

from __future__ import annotations

import os
import re
from pathlib import Path

from prunescope.analysis.record import RECORD
from prunescope.atomic import refuse_file
from prunescope.checkpoint import safetensors
from prunescope.checkpoint.adapter import ADAPTER_CONFIG
from prunescope.checkpoint.folder import INDEX_SUFFIX
from prunescope.checkpoint.opening import CONFIG
from prunescope.checkpoint.storage import LocalFile
from prunescope.errors import CheckpointError, PrunescopeError
from prunescope.interop.companions import CODE, COMPANIONS, RECORD_BEFORE_PADDING

# In the notes of every file that is written: whose the folder is.
MARK = {"converted_by": "prunescope"}
_NAMES = {CONFIG, ADAPTER_CONFIG, RECORD, RECORD_BEFORE_PADDING, *CODE, *COMPANIONS}
# Whatever would be read instead of, or together with, the new weights.
_WEIGHTS = re.compile(
    r".*\.safetensors|.*\.index\.json|(pytorch|adapter)_model.*\.bin|.*\.distcp|\.metadata"
)


def belongs_to_a_model(entry: Path) -> bool:
    """Whether a file of an existing folder is part of the model there, and goes with it."""
    return entry.name in _NAMES or _WEIGHTS.fullmatch(entry.name) is not None


def check_target(source: str | Path, target: Path, overwrite: bool) -> None:
    """Can `target` be written, as far as can be told before the work is done?

    Raises:
        PrunescopeError: it is a file, the source or a folder around or inside it, or holds
            files of others and `overwrite` is not set.
    """
    here, there = Path(os.path.realpath(source)), Path(os.path.realpath(target))
    home = here if here.is_dir() else here.parent
    if there == home or here.is_relative_to(there):
        raise PrunescopeError(f"{target}: holds the source {source}: choose another folder")
    if here.is_dir() and there.is_relative_to(here):
        raise PrunescopeError(f"{target}: lies inside the source: choose another folder")
    if not there.exists():
        return
    refuse_file(target)
    if overwrite or not any(there.iterdir()) or _is_ours(there):
        return
    raise PrunescopeError(f"{target}: holds other files; --overwrite replaces the model in it")


def _is_ours(folder: Path) -> bool:
    """Whether all weights in `folder` are an earlier output: nobody else's may be lost."""
    weights = [entry for entry in folder.iterdir() if _WEIGHTS.fullmatch(entry.name)]
    files = [entry for entry in weights if not entry.name.endswith(INDEX_SUFFIX)]
    return bool(files) and all(map(is_marked, files))


def is_marked(file: Path) -> bool:
    """Whether prunescope wrote the safetensors file `file`."""
    try:
        notes = safetensors.read(LocalFile(file)).metadata
    except CheckpointError:
        return False
    return all(notes.get(key) == value for key, value in MARK.items())
