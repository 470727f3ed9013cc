"""Which tensors does a safetensors file hold?

Layout (https://github.com/huggingface/safetensors#format): eight bytes, little endian, with the
header's length; the header, a JSON object of `{name: {dtype, shape, data_offsets}}`; the data,
without holes. Around the object there may be whitespace, by which writers align the data.

What the library refuses is refused here. What it also takes, and no writer makes, is refused too:
a key twice, a file of no tensor at all, arrays in place of a tensor's fields, a dimension that
passes 63 bits and a zero after it; and headers that would take more memory than any model's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from prunescope.checkpoint.dtypes import DTYPE_BITS, bytes_of
from prunescope.checkpoint.jsonfile import parse_object
from prunescope.checkpoint.layout import check_layout, elements_of
from prunescope.checkpoint.storage import File
from prunescope.checkpoint.types import READERS_NOTE, Contents, TensorInfo
from prunescope.errors import CheckpointError

MAX_HEADER = 100_000_000
_MAX_DIMENSION = 1 << 64
_OBJECT = re.compile(rb"[ \t\n\r]*\{")
# Holds the whole header of most shards, so that a remote one costs a single request.
_FIRST_READ = 64 << 10


def read(file: File) -> Contents:
    """The tensors and the `__metadata__` of one file.

    Raises:
        CheckpointError: on any departure from the format; offsets are checked against dtype,
            shape, each other and the file's size.
    """
    size = file.size
    head = file.read(0, _FIRST_READ)
    if len(head) < 8:
        raise CheckpointError(file, "truncated: shorter than a safetensors header")
    length = int.from_bytes(head[:8], "little")
    if length > MAX_HEADER:
        raise CheckpointError(file, f"safetensors header of {length} bytes: over 100 MB")
    if 8 + length > size:
        raise CheckpointError(file, f"truncated: header of {length} bytes, file of {size} bytes")
    raw = head[8 : 8 + length]
    if len(raw) < length:
        raw += file.read_exactly(len(head), length - len(raw), "the safetensors header")
    if not _OBJECT.match(raw):
        raise CheckpointError(file, "safetensors header does not start with '{'")
    header = parse_object(raw, file, "safetensors header")
    metadata = _metadata(header.pop("__metadata__", None), file)
    start = 8 + length
    tensors = {name: _tensor(name, entry, start, file) for name, entry in header.items()}
    end = check_layout(tensors.values(), start, file)
    if end < size:
        raise CheckpointError(file, f"{size - end} bytes after the last tensor")
    return Contents(tensors, metadata)


def _metadata(value: Any, file: File) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
        raise CheckpointError(file, "__metadata__ is not a map of strings")
    return {key: text for key, text in value.items() if not key.startswith(READERS_NOTE)}


def _tensor(name: str, entry: Any, start: int, file: File) -> TensorInfo:
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise CheckpointError(file, f"tensor {name!r} lacks dtype, shape or data_offsets") from None
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise CheckpointError(file, f"tensor {name!r} has unknown dtype {dtype!r}")
    # type() and not isinstance(): JSON's true is an int to Python.
    if not isinstance(shape, list) or not all(
        type(n) is int and 0 <= n < _MAX_DIMENSION for n in shape
    ):
        raise CheckpointError(file, f"tensor {name!r} has an invalid shape")
    if type(begin) is not int or type(end) is not int or not 0 <= begin <= end:
        raise CheckpointError(file, f"tensor {name!r} has invalid data_offsets")
    needed = bytes_of(dtype, elements_of(name, shape, file))
    if needed != end - begin:
        raise CheckpointError(
            file,
            f"tensor {name!r}: {end - begin} bytes stored, dtype {dtype} and shape {shape} "
            f"need {needed}",
        )
    return TensorInfo(name, tuple(shape), dtype, file, start + begin, end - begin)
