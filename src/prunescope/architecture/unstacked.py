"""Which experts lie stacked in one tensor? Each by itself, under the name that files have for it.

transformers 5 holds all experts of a layer in one parameter, [experts, rows, columns], an expert's
gate above its up
(https://github.com/huggingface/transformers/blob/main/src/transformers/conversion_mapping.py);
`save_pretrained` takes them apart, `torch.save(model.state_dict())` does not. An expert's rows lie
behind one another in such a tensor, so that each is a tensor in the same file; nothing is copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from prunescope.architecture.family import Family
from prunescope.architecture.tensor_names import ANY
from prunescope.checkpoint import Checkpoint, TensorInfo
from prunescope.checkpoint.dtypes import DTYPE_BITS
from prunescope.errors import ArchitectureError

# The note that a checkpoint gets of which something was taken apart.
STACKED = "prunescope.stacked"
# No file is to make more tensors than that of one, nor of all together more than one could list.
MAX_STACKED = 4096
MAX_APART = 150_000


def unstacked(checkpoint: Checkpoint, family: Family) -> Checkpoint:
    """`checkpoint` with the tensors of `family.stacked` taken apart.

    One that is stored otherwise than row behind row stays as it is, as does one whose parts are
    there already.

    Raises:
        ArchitectureError: they would be more than MAX_APART.
    """
    if not any(file_names(family, name) for name in checkpoint.tensors):
        return checkpoint
    owners = set(checkpoint.shared.values())
    tensors: dict[str, TensorInfo] = {}
    made = 0
    for name, tensor in checkpoint.tensors.items():
        apart = {each.name: each for each in _parts(family, tensor)}
        if not apart or name in owners or not apart.keys().isdisjoint(checkpoint.tensors):
            apart = {name: tensor}
        made += len(apart) - 1
        if made > MAX_APART:
            cause = "more experts in its stacked tensors than any model has"
            raise ArchitectureError(f"{checkpoint.path}: {cause}")
        tensors |= apart
    if tensors.keys() == checkpoint.tensors.keys():
        return checkpoint
    return replace(checkpoint, tensors=tensors, metadata={**checkpoint.metadata, STACKED: "yes"})


def file_names(family: Family, name: str) -> tuple[str, ...]:
    """What files call the tensors that `name` is a stack of, `*` for the expert's number; nothing
    where it is none."""
    for key, names in family.stacked.items():
        if name.endswith(key) and name[: -len(key)].endswith("."):
            return tuple(name[: -len(key)] + each for each in names)
    return ()


def _parts(family: Family, tensor: TensorInfo) -> Iterator[TensorInfo]:
    names = file_names(family, tensor.name)
    if names and ANY not in names[0]:
        yield replace(tensor, name=names[0])
        return
    if not names or len(tensor.shape) != 3 or tensor.shared_with is not None or tensor.parts:
        return
    experts, rows, columns = tensor.shape[0], tensor.shape[1] // len(names), tensor.shape[2]
    nbytes = rows * columns * DTYPE_BITS.get(tensor.dtype, 0) // 8
    is_whole = nbytes * len(names) * experts == tensor.nbytes and nbytes
    if not is_whole or tensor.strides is not None or experts > MAX_STACKED:
        return
    for number in range(experts * len(names)):
        expert, part = divmod(number, len(names))
        yield replace(
            tensor,
            name=names[part].replace(ANY, str(expert)),
            shape=(rows, columns),
            offset=tensor.offset + number * nbytes,
            nbytes=nbytes,
        )
