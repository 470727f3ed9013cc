"""Which tensors of a torch.distributed checkpoint are one and the same?

DCP saves a tied output head under both of its names, each with bytes of its own: nothing in
`.metadata` tells that they are one. But each piece is a zip archive, whose directory has the CRC-32
of the bytes (https://github.com/pytorch/pytorch/blob/main/caffe2/serialize/inline_container.cc), so
a head whose every piece has the sum of the embedding's piece is the embedding. Other equal tensors
are left two: experts that were copied from one another have a value each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from prunescope.checkpoint.types import TensorInfo

# What families call the output head, as the part of a name before `.weight`.
_HEADS = {"lm_head", "output", "embed_out", "output_layer"}
# Of a tensor's pieces: where each starts, and its sum.
Sums = tuple[tuple[tuple[int, ...], int], ...]


def candidates(matrices: Mapping[str, tuple[tuple[int, ...], str]]) -> set[str]:
    """The tensors that may be an output head or tied to one, by the shape and dtype of each."""
    alike: dict[object, list[str]] = {}
    for name, (shape, dtype) in matrices.items():
        if len(shape) == 2 and _outside_layers(name):
            alike.setdefault((shape, dtype), []).append(name)
    return {
        name
        for names in alike.values()
        if len(names) > 1 and any(map(_is_head, names))
        for name in names
    }


def with_ties(
    tensors: Mapping[str, TensorInfo], sums: Mapping[str, Sums], places: Mapping[str, object]
) -> dict[str, TensorInfo]:
    """`tensors`, those that are stored once marked as such.

    A tensor is shared with an earlier one that lies in the same place; or, where one of the two is
    an output head, that has the same shape, dtype and sums.

    Args:
        sums: of the tensors whose pieces all have one.
        places: of the tensors whose pieces were not looked for: where each is said to lie.
    """
    found: dict[str, TensorInfo] = {}
    owners: dict[object, str] = {}
    matrices: dict[object, str] = {}
    for name, tensor in tensors.items():
        place = places.get(name) or tuple(
            (piece.file.name, piece.record, piece.offset, piece.start)
            for piece in tensor.parts or (tensor,)
        )
        owner = owners.setdefault((tensor.shape, tensor.dtype, place), name)
        if owner == name and len(tensor.shape) == 2 and name in sums and _outside_layers(name):
            like = matrices.setdefault((tensor.shape, tensor.dtype, sums[name]), name)
            owner = like if _is_head(name) or _is_head(like) else name
        is_shared = owner != name and tensor.nbytes > 0
        found[name] = replace(tensor, shared_with=owner) if is_shared else tensor
    return found


def _is_head(name: str) -> bool:
    return name.removesuffix(".weight").rpartition(".")[2] in _HEADS


def _outside_layers(name: str) -> bool:
    return not any(part.isdecimal() for part in name.split("."))
