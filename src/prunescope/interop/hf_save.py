"""How is a pruned model written? As a model folder, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from prunescope.analysis.record import RECORD
from prunescope.atomic import check_writable, refuse_file, replacing_folder
from prunescope.checkpoint.opening import CONFIG
from prunescope.checkpoint.storage import LocalFolder
from prunescope.errors import PrunescopeError
from prunescope.interop.companions import CODE, COMPANIONS, RECORD_BEFORE_PADDING, copy_files
from prunescope.interop.config_file import write_config, write_json
from prunescope.interop.convert_target import is_marked
from prunescope.interop.export import Export
from prunescope.interop.formats import Format
from prunescope.interop.padding import Padding
from prunescope.interop.shards import index_name
from prunescope.interop.weight_files import WEIGHTS, write_weights

Card: TypeAlias = "Callable[[Path, Padding | None], str]"
CARD = "README.md"
# One of the tags of a model card that prunescope wrote.
CARD_MARK = b"\n- prunescope\n"
_CARD_HEAD = 1024
# Whoever opens the folder reads these instead of pytorch_model.bin.
_PREFERRED = ("model.safetensors", "model.safetensors.index.json")
_OURS = {WEIGHTS, CONFIG, index_name("model"), RECORD, RECORD_BEFORE_PADDING, *CODE, *COMPANIONS}


def check_target(folder: Path, form: Format = "bin") -> None:
    """Can `folder` be written, as far as can be told before the work is done?

    Raises:
        PrunescopeError: it is a file, holds another model, or lies where nothing can be written.
    """
    refuse_file(folder)
    other = next((name for name in _PREFERRED if (folder / name).exists()), None)
    if other is not None and not _is_earlier_output(folder):
        what = f"{folder}: holds another model, {other}, which would be "
        how = "lost" if form in ("hf", "deci") else f"read instead of {WEIGHTS}"
        raise PrunescopeError(what + how)
    check_writable(folder)


def save(
    folder: Path,
    exported: Export,
    record: Mapping[str, Any],
    base: Path | None,
    card: Card | None = None,
) -> None:
    """Write a model folder as a whole: weights, config, pruning record, and `base`'s tokenizer.

    An earlier output is replaced only once the new one stands; other files in the folder stay.

    Args:
        card: what the model card says of the folder, which it is given without one, and of what
            was added to it.

    Raises:
        PrunescopeError: the folder cannot be written, or holds another model.
    """
    check_target(folder, exported.form)
    with replacing_folder(folder, _is_ours) as temporary:
        write_weights(temporary, exported, base)
        write_config(temporary, exported.config)
        write_json(temporary / (RECORD_BEFORE_PADDING if exported.padding else RECORD), record)
        if base is not None:
            copy_files(LocalFolder(base), COMPANIONS, temporary)
        if card is not None:
            (temporary / CARD).write_text(card(temporary, exported.padding), encoding="utf-8")


def _is_ours(entry: Path) -> bool:
    if entry.suffix == ".safetensors":
        return is_marked(entry)
    if entry.name == CARD:
        return entry.is_file() and CARD_MARK in entry.read_bytes()[:_CARD_HEAD]
    return entry.name in _OURS


def _is_earlier_output(folder: Path) -> bool:
    """Whether all safetensors files in `folder` are prunescope's: nobody's model may be lost."""
    weights = list(folder.glob("*.safetensors"))
    return bool(weights) and all(map(is_marked, weights))
