"""Which of a checkpoint's tensors are written? Each stored one; of tied ones, what is needed.

safetensors has no way to say that two tensors share their bytes. transformers ties the output head
to the token embedding again where config.json says `tie_word_embeddings`, and only then may the
head be left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prunescope.architecture import Role, recognise
from prunescope.checkpoint import Checkpoint, TensorInfo
from prunescope.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class Written:
    """What is written of a checkpoint.

    Attributes:
        tensors: by the name they are written under, in file order.
        retied: tied tensors left out, name → the one that stands for them.
        doubled: tied tensors written once more, name → the one they share their bytes with.
    """

    tensors: Mapping[str, TensorInfo]
    retied: Mapping[str, str]
    doubled: Mapping[str, str]


def written(checkpoint: Checkpoint) -> Written:
    """Choose what is written; packed tensors become the tensors they are stored as.

    Raises:
        CheckpointError: two stored tensors have one name.
    """
    roles = _tied_roles(checkpoint)
    retied = {}
    for name, owner in checkpoint.shared.items():
        if roles.get(name) is Role.HEAD and roles.get(owner) is Role.EMBEDDING:
            retied[name] = owner
        elif roles.get(name) is Role.EMBEDDING and roles.get(owner) is Role.HEAD:
            retied[owner] = name
    tensors: dict[str, TensorInfo] = {}
    for name, tensor in checkpoint.tensors.items():
        if name in retied:
            continue
        is_packed = bool(tensor.parts) and tensor.parts[0].start is None
        for part in tensor.parts if is_packed else (tensor,):
            if part.name in tensors:
                raise CheckpointError(part.file, f"tensor {part.name!r} occurs twice")
            tensors[part.name] = part
    doubled = {
        name: owner
        for name, owner in checkpoint.shared.items()
        if name not in retied and owner not in retied
    }
    return Written(tensors, retied, doubled)


def _tied_roles(checkpoint: Checkpoint) -> dict[str, Role]:
    """Roles of tied tensors; none where transformers would not tie them again."""
    if checkpoint.config.get("tie_word_embeddings") is not True:
        return {}
    # Of a family that no table knows, there are no such roles: both names load in any case.
    family = recognise(checkpoint)
    names = {*checkpoint.shared, *checkpoint.shared.values()}
    found = {name: family.find(name) for name in names}
    return {name: entry[1].role for name, entry in found.items() if entry}
