"""How do the tensors of a checkpoint come into safetensors files of their own? A run at a time.

Nothing is loaded: memory does not grow with the model, and every tensor keeps its bits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunescope.analysis.axes import stated
from prunescope.analysis.record import RECORD
from prunescope.architecture import describe
from prunescope.checkpoint import Checkpoint
from prunescope.checkpoint.adapter import ADAPTER_CONFIG
from prunescope.checkpoint.gguf_config import PER_LAYER
from prunescope.checkpoint.opening import CONFIG
from prunescope.checkpoint.types import READERS_NOTE
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import ArchitectureError, CheckpointError
from prunescope.interop.companions import COMPANIONS, RECORD_BEFORE_PADDING, copy_files
from prunescope.interop.config_file import write_config
from prunescope.interop.convert_target import MARK
from prunescope.interop.formats import Format
from prunescope.interop.hf_config import CodeReason, code_reason, config_for, lengths_of, with_code
from prunescope.interop.padding import Padding
from prunescope.interop.safetensors_writer import (
    Source,
    Stored,
    stored_bytes,
    write_safetensors,
)
from prunescope.interop.shards import index_name, index_of, split
from prunescope.interop.ties import Written, written
from prunescope.steps import Progress

# On where pieces start, and what readers noted: no longer true of the tensors that are written.
_STALE_NOTES = ("DCP_SHARDING_INFO", "DCP_VERSION", READERS_NOTE)


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was written.

    Attributes:
        tensors: how many, and `nbytes` of them.
        files: names of the weight files.
        written: which tensors, and what became of tied ones.
        has_config: whether there is a config.json (of an adapter: adapter_config.json).
        is_adapter: whether it is an adapter and no model.
        is_dequantised: whether values were computed anew, as for GGUF.
        is_inferred: whether config.json says of the layers what their shapes say, and not what the
            source's did.
        code: why transformers needs the code in the folder to load it; None where it does not.
        padding: zeros that were added; None where they were not asked for.
    """

    tensors: int
    nbytes: int
    files: tuple[str, ...]
    written: Written
    has_config: bool
    is_adapter: bool
    is_dequantised: bool = False
    is_inferred: bool = False
    code: CodeReason | None = None
    padding: Padding | None = None


def copy(
    checkpoint: Checkpoint,
    folder: Path,
    shard_bytes: int,
    progress: Progress,
    form: Format = "hf",
    source_of: Callable[[WeightMap], Source] = Stored,
) -> Conversion:
    """Write `checkpoint` to the empty `folder`, with the config.json that its shapes need.

    Args:
        shard_bytes: most bytes of tensors in one file.
        form: `hf`, or `deci` of a model that is in its layout already.
        source_of: where the tensors' bytes come from.

    Raises:
        CheckpointError: a tensor cannot be read.
        OSError: a file cannot be written.
    """
    chosen = written(checkpoint)
    stem = "adapter_model" if checkpoint.adapter else "model"
    tensors = chosen.tensors
    # PEFT reads one file only.
    limit = sum(map(stored_bytes, tensors.values())) if checkpoint.adapter else shard_bytes
    files = split(tensors, stem, limit)
    notes = {k: v for k, v in checkpoint.metadata.items() if not k.startswith(_STALE_NOTES)}
    notes |= {"format": "pt"} | MARK
    with WeightMap() as weights, progress(len(tensors)) as tick:
        for file, names in files.items():
            part = {name: tensors[name] for name in names}
            write_safetensors(folder / file, part, source_of(weights), notes, tick)
    if len(files) > 1:
        (folder / index_name(stem)).write_text(index_of(tensors, files), encoding="utf-8")
    nbytes = sum(map(stored_bytes, tensors.values()))
    has_config = _write_companions(checkpoint, folder)
    config = _needed_config(checkpoint) if form == "hf" else dict(checkpoint.config)
    if config is not None:
        write_config(folder, config)
    return Conversion(
        len(tensors),
        nbytes,
        tuple(files),
        chosen,
        has_config,
        checkpoint.adapter is not None,
        is_inferred=form == "hf" and config is not None and not _is_stated(checkpoint),
        code=None if config is None else code_reason(config),
    )


def _needed_config(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """The config.json that these shapes need; None where the source's is it, or nothing tells."""
    if not checkpoint.config or checkpoint.adapter:
        return None
    try:
        model = describe(checkpoint)
        lengths = lengths_of(model)
    except (ArchitectureError, CheckpointError):
        return None
    if not lengths or not model.family.prunable:
        # No table knows it, or what its config says of its layers, we could not write anew.
        return None
    config = config_for(model, lengths)
    is_same_type = config.get("model_type") == checkpoint.config.get("model_type")
    if PER_LAYER not in config and is_same_type and _is_stated(checkpoint):
        return None
    return with_code(config)


def _is_stated(checkpoint: Checkpoint) -> bool:
    """Whether config.json says how long each layer's spaces are."""
    model = describe(checkpoint)
    spaces = model.family.spaces
    return all(
        stated(model, spaces[space], layer) == length
        for (layer, space), length in lengths_of(model).items()
    )


def _write_companions(checkpoint: Checkpoint, folder: Path) -> bool:
    """Bring config.json and what lies beside the weights along; returns whether there is one."""
    # An adapter's settings beside a whole model would make others take it for the adapter.
    needed = ADAPTER_CONFIG if checkpoint.adapter else CONFIG
    if checkpoint.owns_home:
        copy_files(
            checkpoint.home, (*{needed, CONFIG}, RECORD, RECORD_BEFORE_PADDING, *COMPANIONS), folder
        )
    if checkpoint.config and not (folder / CONFIG).exists():
        text = json.dumps(checkpoint.config, ensure_ascii=False, indent=2, sort_keys=True)
        (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    return (folder / needed).exists()
