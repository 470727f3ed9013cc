"""How does a checkpoint of any format become an ordinary Hugging Face folder? Copied, not run.

What has other names, orders and types is not copied as it is: a GGUF goes through `gguf_to_hf`
first, Meta's and torchtune's Llamas through `renamed`; and the formats of other engines, and
padding, through `convert_export`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from prunescope.architecture import recognise
from prunescope.architecture.block_configs import NEMOTRON
from prunescope.architecture.from_deci import as_llama
from prunescope.architecture.unstacked import unstacked
from prunescope.atomic import replacing_folder
from prunescope.checkpoint import Checkpoint, open_checkpoint
from prunescope.checkpoint.torch_subclass import SUBCLASS
from prunescope.errors import CheckpointError
from prunescope.interop.convert_target import belongs_to_a_model, check_target
from prunescope.interop.copied import Conversion, copy
from prunescope.interop.formats import Format
from prunescope.interop.renamed import Reordered, project_of, renamed
from prunescope.interop.safetensors_writer import (
    check_storable,
)
from prunescope.interop.shards import DEFAULT_SHARD
from prunescope.interop.ties import written
from prunescope.steps import Progress, silent

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
        source: whatever `open_checkpoint` opens, or a GGUF of an
            architecture that is written too, split or not.
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
    kind = checkpoint.metadata.get(SUBCLASS)
    if kind is not None:
        # Their tensors, one by one, are no model that anybody loads.
        cause = f"its weights are objects ({kind}): convert the model as it was before quantisation"
        raise CheckpointError(checkpoint.path, cause)
    if checkpoint.adapter is None:
        checkpoint = unstacked(checkpoint, recognise(checkpoint))
    is_same = form == "deci" and checkpoint.config.get("model_type") == NEMOTRON
    is_copy = (form == "hf" or is_same) and not is_uniform
    if not is_same or is_uniform:
        # What is no Llama is not to be found out after an hour.
        as_llama(checkpoint.config, checkpoint.path)

    def write(checkpoint: Checkpoint, folder: Path, progress: Progress) -> Conversion:
        if is_copy:
            return copy(checkpoint, folder, shard_bytes, progress, form)
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
            return copy(ours, temporary, shard_bytes, progress, source_of=source_of)
        with TemporaryDirectory(dir=temporary) as made:
            copy(ours, Path(made), shard_bytes, progress, source_of=source_of)
            return write(open_checkpoint(made), temporary, silent)


def _from_gguf(
    checkpoint: Checkpoint, target: Path, progress: Progress, write: Writer
) -> Conversion:
    from prunescope.interop.gguf_family import check_architecture
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
