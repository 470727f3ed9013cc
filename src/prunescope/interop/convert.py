"""How does a checkpoint of any format become an ordinary Hugging Face folder? Copied, not run.

Nothing is loaded: bytes go from the mapped source to safetensors files a run at a time, so memory
does not grow with the model, and every tensor keeps its bits. Only a GGUF, whose tensors have
other names, orders and types, goes through `gguf_to_hf` first; and the formats of other engines,
and padding, through `convert_export`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prunescope.analysis.axes import stated
from prunescope.analysis.record import RECORD
from prunescope.architecture import describe, recognise
from prunescope.architecture.block_configs import NEMOTRON
from prunescope.architecture.unstacked import STACKED, unstacked
from prunescope.atomic import replacing_folder
from prunescope.checkpoint import Checkpoint, open_checkpoint
from prunescope.checkpoint.adapter import ADAPTER_CONFIG
from prunescope.checkpoint.gguf_config import PER_LAYER
from prunescope.checkpoint.opening import CONFIG
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import ArchitectureError, CheckpointError
from prunescope.interop.companions import COMPANIONS, RECORD_BEFORE_PADDING, copy_files
from prunescope.interop.config_file import write_config
from prunescope.interop.convert_target import MARK, belongs_to_a_model, check_target
from prunescope.interop.formats import Format
from prunescope.interop.from_deci import as_llama
from prunescope.interop.hf_config import config_for, lengths_of, with_code
from prunescope.interop.padding import Padding
from prunescope.interop.renamed import Reordered, project_of, renamed
from prunescope.interop.safetensors_writer import (
    Source,
    Stored,
    check_storable,
    stored_bytes,
    write_safetensors,
)
from prunescope.interop.shards import DEFAULT_SHARD, index_name, index_of, split
from prunescope.interop.ties import Written, written
from prunescope.steps import Progress, silent

# On where pieces start, and what is stacked: no longer true of the tensors that are written.
_STALE_NOTES = {"DCP_SHARDING_INFO", "DCP_VERSION", STACKED}


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
        has_code: whether transformers needs the code in the folder to load it.
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
    has_code: bool = False
    padding: Padding | None = None


# Writes a checkpoint into an empty folder.
Writer = Callable[[Checkpoint, Path, Progress], Conversion]


def convert(
    source: str | Path,
    target: Path,
    shard_bytes: int = DEFAULT_SHARD,
    overwrite: bool = False,
    progress: Progress = silent,
    form: Format = "hf",
    is_uniform: bool = False,
) -> Conversion:
    """Write the checkpoint `source` to the folder `target`, whole or not at all.

    Args:
        source: whatever `open_checkpoint` opens, or a GGUF of a Llama, split or not.
        target: missing, empty, or made by an earlier call.
        shard_bytes: most bytes of tensors in one file.
        overwrite: replace the model in a `target` that was made by others; files that belong to
            no model stay.
        progress: called with the number of steps; yields what counts one of them off.
        form: what is written; see `Export`.
        is_uniform: pad layers that differ with zeros to one shape.

    Raises:
        CheckpointError: the source cannot be read, or has tensors that safetensors cannot hold,
            or `form` cannot express it.
        ArchitectureError: a form other than `hf`, or padding, of a model of an unknown family.
        PrunescopeError: the target cannot be written, or holds something else.
        MissingExtra: a GGUF source, without the extra `demo`; another form or padding, without
            `prune`.
    """
    check_target(source, target, overwrite)
    checkpoint = open_checkpoint(source)
    if checkpoint.adapter is None:
        checkpoint = unstacked(checkpoint, recognise(checkpoint))
    is_same = form == "deci" and checkpoint.config.get("model_type") == NEMOTRON
    is_copy = (form == "hf" or is_same) and not is_uniform
    if not is_same or is_uniform:
        # What is no Llama is not to be found out after an hour.
        as_llama(checkpoint.config, checkpoint.path)

    def write(checkpoint: Checkpoint, folder: Path, progress: Progress) -> Conversion:
        if is_copy:
            return _copy(checkpoint, folder, shard_bytes, progress, form)
        from prunescope.interop.convert_export import export_to

        return export_to(checkpoint, folder, form, is_uniform, shard_bytes)

    if checkpoint.format == "GGUF":
        return _from_gguf(checkpoint, target, progress, write)
    if project_of(checkpoint) is not None:
        return _from_others(checkpoint, target, shard_bytes, progress, None if is_copy else write)
    if is_copy:
        check_storable(written(checkpoint).tensors)
    with replacing_folder(target, belongs_to_a_model) as temporary:
        return write(checkpoint, temporary, progress)


def _copy(
    checkpoint: Checkpoint,
    folder: Path,
    shard_bytes: int,
    progress: Progress,
    form: Format = "hf",
    source_of: Callable[[WeightMap], Source] = Stored,
) -> Conversion:
    chosen = written(checkpoint)
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
        has_code=config is not None and PER_LAYER in config,
    )


def _from_others(
    checkpoint: Checkpoint,
    target: Path,
    shard_bytes: int,
    progress: Progress,
    write: Writer | None,
) -> Conversion:
    """Under transformers' names, and then in another form if `write` is one's."""
    ours, head_dims = renamed(checkpoint)
    check_storable(written(ours).tensors)
    source_of = partial(Reordered, head_dims=head_dims)
    with replacing_folder(target, belongs_to_a_model) as temporary:
        if write is None:
            return _copy(ours, temporary, shard_bytes, progress, source_of=source_of)
        with TemporaryDirectory(dir=temporary) as made:
            _copy(ours, Path(made), shard_bytes, progress, source_of=source_of)
            return write(open_checkpoint(made), temporary, silent)


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


def _from_gguf(
    checkpoint: Checkpoint, target: Path, progress: Progress, write: Writer
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
        conversion = write(open_checkpoint(made), temporary, silent)
    return replace(conversion, is_dequantised=True)
