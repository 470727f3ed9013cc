"""How is a pruned model written? As a model folder, whole or not at all."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.analysis.record import RECORD
from prunescope.atomic import replacing_folder
from prunescope.checkpoint.storage import LocalFolder
from prunescope.errors import PrunescopeError, first_line
from prunescope.interop.companions import COMPANIONS, copy_files
from prunescope.interop.lazy_state import in_memory
from prunescope.interop.torch_writer import write_torch

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "pytorch_model.bin"
_OURS = {WEIGHTS, RECORD, "config.json", *COMPANIONS}
# Whoever opens the folder reads these instead of pytorch_model.bin.
_PREFERRED = ("model.safetensors", "model.safetensors.index.json")


def check_target(folder: Path) -> None:
    """Can `folder` be written, as far as can be told before the work is done?

    Raises:
        PrunescopeError: it is a file, holds another model, or lies where nothing can be written.
    """
    if folder.exists() and not folder.is_dir():
        raise PrunescopeError(f"{folder}: is a file, a folder is to be written here")
    other = next((name for name in _PREFERRED if (folder / name).exists()), None)
    if other is not None:
        raise PrunescopeError(
            f"{folder}: holds another model, {other}, which would be read instead of {WEIGHTS}"
        )
    place = folder.parent
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise PrunescopeError(f"{folder}: cannot be written ({place} is no writable folder)")


def save(
    folder: Path,
    state: Mapping[str, Tensor],
    config: Mapping[str, Any],
    record: Mapping[str, Any],
    base: Path | None,
) -> None:
    """Write a model folder as a whole: weights, config, pruning record, and `base`'s tokenizer.

    Weights are a plain state dict that `torch.load(weights_only=True)` reads, written a tensor at a
    time. An earlier output
    is replaced only once the new one stands; other files in the folder stay.

    Raises:
        PrunescopeError: the folder cannot be written, or holds another model.
    """
    check_target(folder)
    with replacing_folder(folder, lambda entry: entry.name in _OURS) as temporary:
        # torch names the archive's root after the file: written under its final name.
        try:
            write_torch(temporary / WEIGHTS, in_memory(state))
        except RuntimeError as err:
            # torch's archive writer has no OSError for a full disk.
            raise PrunescopeError(f"{folder}: cannot be written ({first_line(err)})") from None
        _write_json(temporary / "config.json", config)
        _write_json(temporary / RECORD, record)
        if base is not None:
            copy_files(LocalFolder(base), COMPANIONS, temporary)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=2)
    # Ten thousand kept channels belong on one line, not on ten thousand.
    text = re.sub(r"\[\n([\d\s,]+)\]", lambda found: f"[{' '.join(found[1].split())}]", text)
    path.write_text(text + "\n", encoding="utf-8")
