"""Which tensors does a GGUF file hold, and of what model are they?

Layout, versions 2 and 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): magic,
version, the numbers of tensors and of keys; the keys with their values; each tensor's name, axes
(innermost first), ggml type and offset; the data, in which every tensor begins at a multiple of
the alignment. What llama.cpp's reader (ggml/src/gguf.cpp) checks is checked here.
"""

from __future__ import annotations

import struct

from prunescope.checkpoint.cursor import Cursor
from prunescope.checkpoint.ggml_types import GGML_TYPES
from prunescope.checkpoint.gguf_config import Value, config_of
from prunescope.checkpoint.layout import aligned, check_layout, elements_of
from prunescope.checkpoint.storage import File
from prunescope.checkpoint.types import Contents, TensorInfo
from prunescope.errors import CheckpointError

# llama.cpp keeps all experts of a layer in one tensor: the largest models have two thousand.
MAX_TENSORS = 100_000
MAX_KEYS = 100_000
MAX_AXES = 4
# Longer arrays of numbers belong to the vocabulary; shorter ones may say how layers differ.
_KEPT_ARRAY = 4096
_ALIGNMENT = 32
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}


def read(file: File) -> Contents:
    """The tensors, scalar keys and config of one file.

    Shapes are outermost first; dtypes are ggml's names (`F32`, `Q4_K`, …); of the metadata,
    arrays are left out.

    Raises:
        CheckpointError: on any departure from the format; types, shapes and offsets are checked
            against each other and the file's size.
    """
    cursor = Cursor(file, "the GGUF header")
    if cursor.take(4) != b"GGUF":
        raise CheckpointError(file, "is not a GGUF file")
    version = cursor.number("I")
    if version and not version & 0xFFFF:
        raise CheckpointError(file, "is a big-endian GGUF file: only little endian is read")
    if version not in (2, 3):
        raise CheckpointError(file, f"GGUF version {version}: only 2 and 3 are read")
    tensor_count, key_count = cursor.number("Q"), cursor.number("Q")
    if tensor_count > MAX_TENSORS or key_count > MAX_KEYS:
        raise CheckpointError(file, "the GGUF header has more entries than any model needs")
    values = _values(cursor, key_count)
    alignment = values.get("general.alignment", _ALIGNMENT)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise CheckpointError(file, f"GGUF alignment {alignment!r} is not a power of two")
    tensors = _tensors(cursor, tensor_count, alignment)
    metadata = {k: _as_text(v) for k, v in values.items() if not isinstance(v, tuple)}
    return Contents(tensors, metadata, config_of(values, tensors))


def _as_text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _values(cursor: Cursor, count: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    seen: set[str] = set()
    for _ in range(count):
        key = cursor.text()
        if key in seen:
            raise CheckpointError(cursor.file, f"GGUF key {key!r} occurs twice")
        seen.add(key)
        kind = cursor.number("I")
        value = _array(cursor, key) if kind == _ARRAY else _scalar(cursor, kind, key)
        if value is not None:
            found[key] = value
    return found


def _scalar(cursor: Cursor, kind: int, key: str) -> Value:
    if kind == _STRING:
        return cursor.text()
    if kind not in _SCALARS:
        raise CheckpointError(cursor.file, f"GGUF key {key!r} has unknown type {kind}")
    value: Value = cursor.number(_SCALARS[kind])
    return value


def _array(cursor: Cursor, key: str) -> Value | None:
    """A short array of numbers; any other is passed over."""
    kind, length = cursor.number("I"), cursor.number("Q")
    if kind == _STRING:
        cursor.skip_texts(length)
        return None
    if kind not in _SCALARS:
        raise CheckpointError(cursor.file, f"GGUF array {key!r} has unknown type {kind}")
    if length > _KEPT_ARRAY:
        cursor.skip(length * struct.calcsize("<" + _SCALARS[kind]))
        return None
    return cursor.numbers(_SCALARS[kind], length)


def _tensors(cursor: Cursor, count: int, alignment: int) -> dict[str, TensorInfo]:
    placed: list[tuple[str, tuple[int, ...], int, int]] = []
    for _ in range(count):
        name, axes = cursor.text(), cursor.number("I")
        if not 1 <= axes <= MAX_AXES:
            raise CheckpointError(cursor.file, f"tensor {name!r} has {axes} axes")
        shape = tuple(cursor.number("Q") for _ in range(axes))[::-1]
        placed.append((name, shape, cursor.number("I"), cursor.number("Q")))
    start = aligned(cursor.position, alignment)
    found: dict[str, TensorInfo] = {}
    for name, shape, kind, offset in placed:
        if name in found:
            raise CheckpointError(cursor.file, f"tensor {name!r} occurs twice")
        if offset % alignment:
            raise CheckpointError(
                cursor.file, f"tensor {name!r}: offset {offset} is no multiple of {alignment}"
            )
        dtype, nbytes = _stored(cursor.file, name, shape, kind)
        found[name] = TensorInfo(name, shape, dtype, cursor.file, start + offset, nbytes)
    end = check_layout(found.values(), start, cursor.file, alignment)
    # Writers pad the last tensor too, some of them to the default alignment.
    if cursor.file.size > max(aligned(end, alignment), aligned(end, _ALIGNMENT)):
        raise CheckpointError(cursor.file, f"{cursor.file.size - end} bytes after the last tensor")
    return found


def _stored(file: File, name: str, shape: tuple[int, ...], kind: int) -> tuple[str, int]:
    """ggml's name of a dtype, and the bytes that a tensor of it takes."""
    if kind not in GGML_TYPES:
        raise CheckpointError(file, f"tensor {name!r} has unknown ggml type {kind}")
    dtype = GGML_TYPES[kind]
    elements = elements_of(name, shape, file)
    if shape[-1] % dtype.elements:
        raise CheckpointError(
            file,
            f"tensor {name!r}: rows of {shape[-1]} do not fill {dtype.name} blocks of "
            f"{dtype.elements}",
        )
    return dtype.name, elements // dtype.elements * dtype.nbytes
