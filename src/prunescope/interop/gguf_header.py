"""What does a GGUF file hold, and where? Its header, read with distrust.

Format, versions 2 and 3, little endian: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
The readers in `gguf` and transformers believe the counts in a file: an array that claims 2^60
entries keeps them busy for ever. What has passed here is safe to hand to them.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.checkpoint import TensorInfo
from prunescope.checkpoint.storage import LocalFile
from prunescope.errors import CheckpointError
from prunescope.extras import require

if TYPE_CHECKING:
    import gguf
else:
    gguf = require("gguf", "demo")

# Tokens, their types and merges of the largest public vocabularies make half of this.
MAX_ENTRIES = 2_000_000
MAX_AXES = 4
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


@dataclass(frozen=True)
class GgufHeader:
    """The header of one GGUF file.

    Attributes:
        path: the file.
        metadata: its scalars and strings by key; arrays (the vocabulary) are checked, not kept.
        tensors: by GGUF name, in file order; shapes outermost first, as everywhere in prunescope;
            dtypes are ggml's names (`F32`, `Q4_1`, …).
    """

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, TensorInfo]


def read_header(path: Path) -> GgufHeader:
    """The metadata and tensors of the GGUF file `path`.

    Raises:
        CheckpointError: on any departure from the format; every tensor lies inside the file.
    """
    try:
        with path.open("rb") as stream:
            content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:
        raise CheckpointError(path, "is an empty file") from None
    except OSError as err:
        raise CheckpointError(path, f"cannot be read ({err.strerror})") from None
    with content:
        cursor = _Cursor(content, path)
        if content[:4] != b"GGUF":
            raise CheckpointError(path, "is not a GGUF file")
        cursor.position = 4
        version = cursor.number("I")
        if version not in (2, 3):
            raise CheckpointError(path, f"GGUF version {version} is not 2 or 3, little endian")
        tensor_count, key_count = cursor.number("Q"), cursor.number("Q")
        metadata = _metadata(cursor, key_count)
        tensors = _tensors(cursor, tensor_count, metadata.get("general.alignment", 32))
    return GgufHeader(path, metadata, tensors)


@dataclass
class _Cursor:
    """A place in the file that only moves forward, and never past its end."""

    content: mmap.mmap
    path: Path
    position: int = 0
    entries: int = 0

    def skip(self, length: int) -> int:
        """Move on by `length` bytes; returns where they start."""
        start = self.position
        if length > len(self.content) - start:
            raise CheckpointError(self.path, f"truncated inside the GGUF header (byte {start})")
        self.position += length
        return start

    def number(self, code: str) -> Any:
        layout = struct.Struct("<" + code)
        return layout.unpack_from(self.content, self.skip(layout.size))[0]

    def text(self) -> str:
        length = self.number("Q")
        start = self.skip(length)
        try:
            return self.content[start : start + length].decode("utf-8")
        except UnicodeDecodeError:
            raise CheckpointError(self.path, f"text at byte {start} is not UTF-8") from None

    def count(self, entries: int) -> int:
        """`entries`, if there may still be so many."""
        self.entries += entries
        if self.entries > MAX_ENTRIES:
            raise CheckpointError(self.path, "GGUF header has more entries than any model needs")
        return entries


def _metadata(cursor: _Cursor, count: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    seen: set[str] = set()
    for _ in range(cursor.count(count)):
        key = cursor.text()
        if key in seen:
            raise CheckpointError(cursor.path, f"GGUF key {key!r} occurs twice")
        seen.add(key)
        kind = cursor.number("I")
        if kind == _ARRAY:
            _check_array(cursor, key)
        else:
            found[key] = _value(cursor, kind, key)
    return found


def _value(cursor: _Cursor, kind: int, key: str) -> Any:
    if kind == _STRING:
        return cursor.text()
    if kind not in _SCALARS:
        raise CheckpointError(cursor.path, f"GGUF key {key!r} has unknown type {kind}")
    return cursor.number(_SCALARS[kind])


def _check_array(cursor: _Cursor, key: str) -> None:
    kind, length = cursor.number("I"), cursor.number("Q")
    cursor.count(length)
    if kind == _STRING:
        for _ in range(length):
            cursor.text()
    elif kind in _SCALARS:
        cursor.skip(length * struct.calcsize("<" + _SCALARS[kind]))
    else:
        raise CheckpointError(cursor.path, f"GGUF array {key!r} has unknown type {kind}")


def _tensors(cursor: _Cursor, count: int, alignment: Any) -> dict[str, TensorInfo]:
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise CheckpointError(cursor.path, f"GGUF alignment {alignment!r} is not a power of two")
    placed: list[tuple[str, tuple[int, ...], int, int]] = []
    for _ in range(cursor.count(count)):
        name = cursor.text()
        axes = cursor.number("I")
        if not 1 <= axes <= MAX_AXES:
            raise CheckpointError(cursor.path, f"tensor {name!r} has {axes} axes")
        # ggml counts axes from the innermost.
        shape = tuple(cursor.number("Q") for _ in range(axes))[::-1]
        placed.append((name, shape, cursor.number("I"), cursor.number("Q")))
    start = -(-cursor.position // alignment) * alignment
    found: dict[str, TensorInfo] = {}
    for name, shape, kind, offset in placed:
        if name in found:
            raise CheckpointError(cursor.path, f"tensor {name!r} occurs twice")
        dtype, nbytes = _stored(cursor.path, name, shape, kind)
        if start + offset + nbytes > len(cursor.content):
            raise CheckpointError(cursor.path, f"truncated inside tensor {name!r}")
        found[name] = TensorInfo(name, shape, dtype, LocalFile(cursor.path), start + offset, nbytes)
    return found


def _stored(path: Path, name: str, shape: tuple[int, ...], kind: int) -> tuple[str, int]:
    """ggml's name of a dtype, and the bytes that a tensor of it takes."""
    try:
        dtype = gguf.GGMLQuantizationType(kind)
        block, width = gguf.GGML_QUANT_SIZES[dtype]
    except (ValueError, KeyError):
        raise CheckpointError(path, f"tensor {name!r} has unknown ggml type {kind}") from None
    if shape[-1] % block:
        raise CheckpointError(
            path, f"tensor {name!r}: rows of {shape[-1]} do not fill {dtype.name} blocks of {block}"
        )
    return dtype.name, prod(shape) // block * width
