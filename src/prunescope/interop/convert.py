"""How does a checkpoint of any format become an ordinary Hugging Face folder? Copied, not run.

Nothing is loaded: bytes go from the mapped source to safetensors files a run at a time, so memory
does not grow with the model, and every tensor keeps its bits. Only a GGUF, whose tensors have
other names, orders and types, goes through `gguf_to_hf` first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from prunescope.analysis.record import RECORD
from prunescope.atomic import replacing_folder
from prunescope.checkpoint import Checkpoint, open_checkpoint
from prunescope.checkpoint.adapter import ADAPTER_CONFIG
from prunescope.checkpoint.opening import CONFIG
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from prunescope.interop.companions import COMPANIONS, copy_files
from prunescope.interop.convert_target import MARK, belongs_to_a_model, check_target
from prunescope.interop.safetensors_writer import check_storable, stored_bytes, write_safetensors
from prunescope.interop.shards import index_name, index_of, split
from prunescope.interop.ties import Written, written
from prunescope.steps import Progress, silent

DEFAULT_SHARD = 5 * 10**9
# torch's note on where pieces start: no longer true of whole tensors.
_STALE_NOTES = {"DCP_SHARDING_INFO", "DCP_VERSION"}


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
    """

    tensors: int
    nbytes: int
    files: tuple[str, ...]
    written: Written
    has_config: bool
    is_adapter: bool
    is_dequantised: bool = False


def convert(
    source: str | Path,
    target: Path,
    shard_bytes: int = DEFAULT_SHARD,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Conversion:
    """Write the checkpoint `source` to the folder `target`, whole or not at all.

    Args:
        source: whatever `open_checkpoint` opens, or a GGUF of a Llama, split or not.
        target: missing, empty, or made by an earlier call.
        shard_bytes: most bytes of tensors in one file.
        overwrite: replace the model in a `target` that was made by others; files that belong to
            no model stay.
        progress: called with the number of steps; yields what counts one of them off.

    Raises:
        CheckpointError: the source cannot be read, or has tensors that safetensors cannot hold.
        PrunescopeError: the target cannot be written, or holds something else.
        MissingExtra: a GGUF source, without the extra `demo`.
    """
    check_target(source, target, overwrite)
    checkpoint = open_checkpoint(source)
    if checkpoint.format == "GGUF":
        return _from_gguf(checkpoint, target, shard_bytes, progress)
    chosen = written(checkpoint)
    check_storable(chosen.tensors)
    with replacing_folder(target, belongs_to_a_model) as temporary:
        return _write(checkpoint, chosen, temporary, shard_bytes, progress)


def _write(
    checkpoint: Checkpoint, chosen: Written, folder: Path, shard_bytes: int, progress: Progress
) -> Conversion:
    stem = "adapter_model" if checkpoint.adapter else "model"
    tensors = chosen.tensors
    # PEFT reads one file only.
    limit = sum(map(stored_bytes, tensors.values())) if checkpoint.adapter else shard_bytes
    files = split(tensors, stem, limit)
    notes = {k: v for k, v in checkpoint.metadata.items() if k not in _STALE_NOTES}
    notes |= {"format": "pt"} | MARK
    with WeightMap() as weights, progress(len(tensors)) as tick:
        for file, names in files.items():
            part = {name: tensors[name] for name in names}
            write_safetensors(folder / file, part, weights, notes, tick)
    if len(files) > 1:
        (folder / index_name(stem)).write_text(index_of(tensors, files), encoding="utf-8")
    nbytes = sum(map(stored_bytes, tensors.values()))
    has_config = _write_companions(checkpoint, folder)
    return Conversion(
        len(tensors), nbytes, tuple(files), chosen, has_config, checkpoint.adapter is not None
    )


def _write_companions(checkpoint: Checkpoint, folder: Path) -> bool:
    """Bring config.json and what lies beside the weights along; returns whether there is one."""
    # An adapter's settings beside a whole model would make others take it for the adapter.
    needed = ADAPTER_CONFIG if checkpoint.adapter else CONFIG
    if checkpoint.owns_home:
        copy_files(checkpoint.home, (*{needed, CONFIG}, RECORD, *COMPANIONS), folder)
    if checkpoint.config and not (folder / CONFIG).exists():
        text = json.dumps(checkpoint.config, ensure_ascii=False, indent=2, sort_keys=True)
        (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    return (folder / needed).exists()


def _from_gguf(
    checkpoint: Checkpoint, target: Path, shard_bytes: int, progress: Progress
) -> Conversion:
    from prunescope.interop.gguf import check_architecture
    from prunescope.interop.gguf_to_hf import convert as convert_gguf

    check_architecture(checkpoint)
    source = checkpoint.files[0].local
    if source is None:
        raise CheckpointError(checkpoint.path, "is remote: download it to convert it")
    with (
        replacing_folder(target, belongs_to_a_model) as temporary,
        TemporaryDirectory(dir=temporary) as made,
    ):
        convert_gguf(source, Path(made), progress)
        checkpoint = open_checkpoint(made)
        conversion = _write(checkpoint, written(checkpoint), temporary, shard_bytes, silent)
    return replace(conversion, is_dequantised=True)
