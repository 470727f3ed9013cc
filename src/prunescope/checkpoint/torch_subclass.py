"""Which plain tensors is a pickled weight of torchao made of? They become its `parts`.

A tensor subclass without memory of its own is pickled as a call of `_rebuild_wrapper_subclass` with
its class, dtype, shape and strides, and with its attributes, some of which are tensors, or such
subclasses again (https://github.com/pytorch/pytorch/blob/main/torch/_tensor.py, `__reduce_ex__`).
The shape is that of what it stands for in torchao's classes
(https://github.com/pytorch/ao/tree/main/torchao/quantization); of others, as DTensor, of which a
file holds a part, that says nothing of what is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from prunescope.checkpoint.pickle_values import Call, Dict, Global
from prunescope.checkpoint.storage import File
from prunescope.checkpoint.torch_storage import Locate, is_shape
from prunescope.checkpoint.torch_tensor import is_tensor, located, stored
from prunescope.checkpoint.torchao_names import encoding, integer_bits, part_name
from prunescope.checkpoint.types import TensorInfo
from prunescope.errors import CheckpointError

# The note that a checkpoint gets of the class of its weights.
SUBCLASS = "prunescope.subclass"
_LIBRARY = "torchao."
_WRAPPER = Global("torch._utils", "_rebuild_wrapper_subclass")
# An activation's quantisation, around an affine quantised tensor, around its memory, around shards.
_MAX_DEPTH = 4
# torchao's have at most eleven attributes, four of them tensors.
_MAX_ATTRIBUTES = 24
_MAX_PARTS = 8
_MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class Subclass:
    """A weight of torchao's.

    Attributes:
        kind: its class.
        shape: of the weight that it stands for.
        state: its attributes.
    """

    kind: Global
    shape: tuple[int, ...]
    state: Dict


# The tensors that a weight is made of, each under the names of the attributes that lead to it, and
# how many bits its integers have, where something says so.
Made = tuple[list[tuple[str, Call]], int | None]
_NOTHING: Made = ([], None)


def subclass(value: Call) -> Subclass | None:
    """What the rebuild call `value` says of a weight of torchao's; None where it is another."""
    arguments = value.arguments
    if not is_tensor(value) or not isinstance(arguments, tuple) or len(arguments) != 4:
        return None
    function, kind, made_of, state = arguments
    if function != _WRAPPER or not isinstance(kind, Global) or not isinstance(state, Dict):
        return None
    if not kind.module.startswith(_LIBRARY) or not isinstance(made_of, tuple) or len(made_of) < 3:
        return None
    return Subclass(kind, made_of[2], state) if is_shape(made_of[2]) else None


def whole(
    name: str, weight: Subclass, locate: Locate, file: File, known: dict[int, Made]
) -> TensorInfo:
    """The header of `weight`, with the tensors that it is made of as `parts`.

    Args:
        locate: where a storage lies; its second argument is the tensor to name in an error.
        known: what weights of the same pickle were made of, by the identity of their state, since
            one may lie under many names.

    Raises:
        CheckpointError: it is made of no tensor, of more than any is, or of too few bytes for its
            shape.
    """
    if id(weight.state) not in known:
        known[id(weight.state)] = _made_of(weight)
    found, bits = known[id(weight.state)]
    if not 0 < len(found) <= _MAX_PARTS:
        raise CheckpointError(file, f"tensor {name!r} is a {weight.kind} of no parts known here")
    parts = []
    for path, value in found:
        part = part_name(name, path)
        tensor = stored(value, part, file)
        parts.append(located(part, tensor, locate(tensor.storage, part), file))
    parts.sort(key=lambda part: (part.record or 0, part.offset))
    nbytes = sum(part.nbytes for part in parts)
    # No encoding takes less than a bit for a weight.
    if not 0 < prod(weight.shape) <= 8 * nbytes:
        cause = f"is a {weight.kind} of shape {list(weight.shape)} in {nbytes} bytes"
        raise CheckpointError(file, f"tensor {name!r} {cause}")
    largest = max(parts, key=lambda part: part.nbytes)
    return TensorInfo(
        name,
        weight.shape,
        encoding(weight.kind.name, largest.dtype, bits),
        file,
        parts[0].offset,
        nbytes,
        record=parts[0].record,
        parts=tuple(parts),
    )


def _made_of(weight: Subclass) -> Made:
    """What `weight` is made of; nothing where it is malformed."""
    found: list[tuple[str, Call]] = []
    bits = None
    above, inner = "", weight
    for _ in range(_MAX_DEPTH):
        if len(inner.state.flat) > 2 * _MAX_ATTRIBUTES:
            return _NOTHING
        attributes = inner.state.by_name()
        if not all(len(name) <= _MAX_NAME and name.isidentifier() for name in attributes):
            return _NOTHING
        bits = _bits(attributes) or bits
        nested = None
        for name, value in attributes.items():
            if not isinstance(value, Call) or not is_tensor(value):
                continue
            below = subclass(value)
            if below is None:
                found.append((above + name, value))
            elif nested is None:
                nested = (f"{above}{name}_", below)
            else:
                return _NOTHING
        if nested is None:
            return found, bits
        above, inner = nested
    return _NOTHING


def _bits(attributes: Mapping[str, Any]) -> int | None:
    """Of an integer: from the range that it may have, or from its type (`torch.int4`)."""
    least, most = attributes.get("quant_min"), attributes.get("quant_max")
    if type(least) is int and type(most) is int and 0 < most - least < 1 << 16:
        return (most - least).bit_length()
    target = attributes.get("target_dtype")
    return integer_bits(target.name) if isinstance(target, Global) else None
