"""How does a checkpoint of any format get to another engine? Padded if asked, and written."""

from __future__ import annotations

from pathlib import Path

from prunescope.analysis.record import RECORD
from prunescope.architecture import describe, refuse_generic
from prunescope.checkpoint import Checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from prunescope.interop.companions import COMPANIONS, RECORD_BEFORE_PADDING, copy_files, home
from prunescope.interop.config_file import write_config
from prunescope.interop.copied import Conversion
from prunescope.interop.export import export
from prunescope.interop.formats import Format
from prunescope.interop.hf_config import code_reason, lengths_of
from prunescope.interop.ties import Written
from prunescope.interop.torch_tensors import as_tensor, computing_dtype
from prunescope.interop.weight_files import write_weights


def export_to(
    checkpoint: Checkpoint, folder: Path, form: Format, is_uniform: bool, shard_bytes: int
) -> Conversion:
    """Write `checkpoint` as `form` into the empty `folder`.

    Raises:
        ArchitectureError: it is an adapter, or of a family that prunescope does not know.
        CheckpointError: it has no config.json, or is quantised, or `form` cannot express it.
    """
    model = describe(checkpoint)
    refuse_generic(model, f"the format {form}")
    if not checkpoint.config:
        raise CheckpointError(checkpoint.path, "no config.json beside the weights")
    # What is packed cannot be cut or padded, and a plain state dict would not say how to unpack it.
    computing_dtype(checkpoint)
    base = home(model)
    with WeightMap() as weights:
        state = {
            name: as_tensor(weights, info)
            for name, info in checkpoint.tensors.items()
            if info.shared_with is None
        }
        # Tied tensors are one object, in the order of the file.
        state = {name: state[checkpoint.shared.get(name, name)] for name in checkpoint.tensors}
        exported = export(model, state, lengths_of(model), form, is_uniform)
        files = write_weights(folder, exported, base, shard_bytes)
    write_config(folder, exported.config)
    if checkpoint.owns_home:
        copy_files(checkpoint.home, (RECORD, RECORD_BEFORE_PADDING, *COMPANIONS), folder)
        if exported.padding and (folder / RECORD).exists():
            (folder / RECORD).rename(folder / RECORD_BEFORE_PADDING)
    stored = {id(tensor): tensor for tensor in exported.state.values()}.values()
    return Conversion(
        len(exported.state),
        sum(tensor.nbytes for tensor in stored),
        tuple(files),
        Written({}, {}, {}),
        has_config=True,
        is_adapter=False,
        code=code_reason(exported.config),
        padding=exported.padding,
    )
