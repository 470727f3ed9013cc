"""Which tensors does a safetensors file hold?

Layout (https://github.com/huggingface/safetensors#format): eight bytes, little endian, with the
header's length; the header, a JSON object of `{name: {dtype, shape, data_offsets}}`; the data,
without holes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prunescope.checkpoint.dtypes import DTYPE_BITS, bytes_of
from prunescope.checkpoint.jsonfile import parse_object
from prunescope.checkpoint.types import TensorInfo
from prunescope.errors import CheckpointError

MAX_HEADER = 100_000_000
MAX_ELEMENTS = 1 << 63


def looks_like(head: bytes, size: int) -> bool:
    """Whether the first bytes of a file of `size` bytes can be a safetensors header."""
    return len(head) >= 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size


def read_header(path: Path) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """The tensors and the `__metadata__` of one file.

    Raises:
        CheckpointError: on any departure from the format; offsets are checked against dtype,
            shape, each other and the file's size.
    """
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            prefix = stream.read(8)
            if len(prefix) < 8:
                raise CheckpointError(path, "truncated: shorter than a safetensors header")
            length = int.from_bytes(prefix, "little")
            if length > MAX_HEADER:
                raise CheckpointError(path, f"safetensors header of {length} bytes: over 100 MB")
            if 8 + length > size:
                raise CheckpointError(
                    path, f"truncated: header of {length} bytes, file of {size} bytes"
                )
            raw = stream.read(length)
    except OSError as err:
        raise CheckpointError(path, f"cannot be read ({err.strerror})") from None
    if not raw.startswith(b"{"):
        raise CheckpointError(path, "safetensors header does not start with '{'")
    header = parse_object(raw, path, "safetensors header")
    metadata = _metadata(header.pop("__metadata__", {}), path)
    start = 8 + length
    tensors = {name: _tensor(name, entry, start, path) for name, entry in header.items()}
    _check_layout(tensors, start, size, path)
    return tensors, metadata


def _metadata(value: Any, path: Path) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
        raise CheckpointError(path, "__metadata__ is not a map of strings")
    return dict(value)


def _tensor(name: str, entry: Any, start: int, path: Path) -> TensorInfo:
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise CheckpointError(path, f"tensor {name!r} lacks dtype, shape or data_offsets") from None
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise CheckpointError(path, f"tensor {name!r} has unknown dtype {dtype!r}")
    # type() and not isinstance(): JSON's true is an int to Python.
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise CheckpointError(path, f"tensor {name!r} has an invalid shape")
    if type(begin) is not int or type(end) is not int or not 0 <= begin <= end:
        raise CheckpointError(path, f"tensor {name!r} has invalid data_offsets")
    elements = 1
    for n in shape:
        elements *= n
        if elements >= MAX_ELEMENTS:
            raise CheckpointError(path, f"tensor {name!r}: shape overflows 63 bits")
    needed = bytes_of(dtype, elements)
    if needed != end - begin:
        raise CheckpointError(
            path,
            f"tensor {name!r}: {end - begin} bytes stored, dtype {dtype} and shape {shape} "
            f"need {needed}",
        )
    return TensorInfo(name, tuple(shape), dtype, path, start + begin, end - begin)


def _check_layout(tensors: Mapping[str, TensorInfo], start: int, size: int, path: Path) -> None:
    position = start
    for tensor in sorted(tensors.values(), key=lambda t: (t.offset, t.nbytes)):
        if tensor.offset < position:
            raise CheckpointError(path, f"tensor {tensor.name!r} overlaps another")
        if tensor.offset > position:
            raise CheckpointError(path, f"hole of bytes before tensor {tensor.name!r}")
        position += tensor.nbytes
    if position > size:
        raise CheckpointError(
            path, f"truncated: tensors end at byte {position}, the file at {size}"
        )
    if position < size:
        raise CheckpointError(path, f"{size - position} bytes after the last tensor")
