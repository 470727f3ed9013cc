"""How is a changed model written in the layout it came in? The same files, names and types."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.analysis.record import RECORD, SCHEMA
from prunescope.architecture import Model
from prunescope.atomic import check_writable, refuse_file, replacing_folder
from prunescope.checkpoint import Checkpoint
from prunescope.checkpoint.folder import INDEX_SUFFIX
from prunescope.checkpoint.formats import SAFETENSORS
from prunescope.checkpoint.jsonfile import read_beside
from prunescope.checkpoint.opening import CONFIG
from prunescope.checkpoint.types import READERS_NOTE
from prunescope.checkpoint.wrapper_names import WRAPPERS
from prunescope.errors import PrunescopeError, first_line
from prunescope.extras import require
from prunescope.interop.companions import COMPANIONS, copy_files
from prunescope.interop.convert_target import belongs_to_a_model

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", "prune")


def check_output(source: str | Path, folder: Path) -> None:
    """Can `folder` be written, as far as can be told before the work is done?

    Raises:
        PrunescopeError: it is a file, holds the source or lies in it, or lies where nothing can
            be written.
    """
    here, there = Path(os.path.realpath(source)), Path(os.path.realpath(folder))
    home = here if here.is_dir() else here.parent
    if there == home or home.is_relative_to(there) or there.is_relative_to(home):
        raise PrunescopeError(f"{folder}: holds the source {source}, or lies in it: choose another")
    refuse_file(folder)
    check_writable(folder)


def save_as_it_was(
    model: Model,
    state: Mapping[str, torch.Tensor],
    folder: Path,
    notes: Mapping[str, Any],
    is_old: Callable[[Path], bool],
) -> None:
    """Write `state` to `folder` as `model` is stored, whole or not at all.

    Weight files have the names of `model`'s and the tensors that each of them has; what lies
    beside them comes along.

    Args:
        state: every tensor of `model`, in its stored type.
        notes: keys added to pruning.json, where there is one.
        is_old: which files of an existing `folder` are dropped; those of a model always are.

    Raises:
        PrunescopeError: the folder cannot be written.
    """
    checkpoint = model.checkpoint

    def goes(entry: Path) -> bool:
        return is_old(entry) or belongs_to_a_model(entry)

    with replacing_folder(folder, goes) as temporary:
        for file in checkpoint.files:
            part = {n: state[n] for n, t in checkpoint.tensors.items() if t.file.name == file.name}
            try:
                _write(part, temporary / file.name, checkpoint)
            except RuntimeError as err:  # torch's writer has no OSError for a full disk
                raise PrunescopeError(f"{folder}: cannot be written ({first_line(err)})") from None
        if checkpoint.owns_home:
            home = checkpoint.home
            indexes = [name for name in home.names() if name.endswith(INDEX_SUFFIX)]
            copy_files(home, (CONFIG, RECORD, *indexes, *COMPANIONS), temporary)
            if WRAPPERS in checkpoint.metadata:
                # The index has the names that the source has, wrappers included.
                places = {n: t.file.name for n, t in checkpoint.tensors.items()}
                for name in indexes:
                    (temporary / name).write_text(json.dumps({"weight_map": places}), "utf-8")
            record = read_beside(home, RECORD)
            if record.get("schema") == SCHEMA:
                (temporary / RECORD).write_text(_by_key({**record, **notes}), "utf-8")


def _write(part: Mapping[str, torch.Tensor], path: Path, checkpoint: Checkpoint) -> None:
    if checkpoint.format != SAFETENSORS:
        torch.save(dict(part), path)
        return
    rows = {name: tensor.contiguous() for name, tensor in part.items()}
    notes = checkpoint.metadata.items()
    metadata = {k: v for k, v in notes if not k.startswith(READERS_NOTE)} | {"format": "pt"}
    require("safetensors.torch", "prune").save_file(rows, path, metadata)


def _by_key(record: Mapping[str, Any]) -> str:
    """A line for each key: a record has thousands of numbers."""
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in record.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"
