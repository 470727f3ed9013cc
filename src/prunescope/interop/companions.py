"""Which files belong to a model beside its weights, and how do they come along?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prunescope.architecture import Model, refuse_other_names
from prunescope.checkpoint.storage import File, Folder
from prunescope.errors import CheckpointError

COMPANIONS = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
# Ours, which lie beside models that stock classes do not load; `carried/` holds them.
CODE = ("modeling_prunescope.py", "configuration_deci.py")
# What pruning.json is called beside layers that are padded: their shapes are not those it records.
RECORD_BEFORE_PADDING = "pruning.before_padding.json"
_CHUNK = 16 << 20


def home(model: Model) -> Path:
    """The folder with what lies beside the weights.

    Raises:
        ArchitectureError: the model is not stored as transformers stores one.
        CheckpointError: it is not on this machine.
    """
    refuse_other_names(model)
    path = model.checkpoint.home.local
    if path is None:
        raise CheckpointError(model.checkpoint.path, "is remote: download the model first")
    return path


def copy_files(folder: Folder, names: Iterable[str], target: Path) -> None:
    """Copy those of `names` that `folder` has into `target`.

    Raises:
        CheckpointError: one of them leads out of the folder, or cannot be read.
    """
    for name in names:
        if folder.has(name):
            copy_file(folder.file(name), target / name)


def copy_file(file: File, target: Path) -> None:
    """Copy the bytes of `file`, a piece at a time."""
    with target.open("wb") as stream:
        for offset in range(0, file.size, _CHUNK):
            stream.write(file.read(offset, _CHUNK))
