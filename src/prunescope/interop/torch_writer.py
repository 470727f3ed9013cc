"""How is a torch file written without holding its tensors? A skeleton first, then their bytes.

`torch.save` writes the archive of tensors that have no memory and leaves room for their storages
(`torch.serialization.skip_data`, torch 2.6 and later). What it cannot know then are the bytes and
their checksums, which are put in their places.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from prunescope.extras import require
from prunescope.interop.lazy_state import LazyState, Outline

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch", "prune")

_CHUNK = 16 << 20
# APPNOTE 4.3.7, 4.3.9 and 4.3.12: lengths of name and extra field in a record's local header and
# in its entry of the directory, and the checksums behind the record and in that entry.
_LOCAL, _LOCAL_LENGTHS = 30, 26
_ENTRY, _ENTRY_LENGTHS, _ENTRY_CRC = 46, 28, 16
_DESCRIPTOR_CRC = 4


def write_torch(path: Path, state: LazyState) -> None:
    """Write `state` as a plain dict that `torch.load(weights_only=True)` reads.

    One tensor at a time is in memory.

    Raises:
        OSError, RuntimeError: the file cannot be written; torch has no OSError for a full disk.
    """
    _skeleton(path, state.outlines)
    owners = [name for name, outline in state.outlines.items() if outline.shared_with is None]
    with path.open("r+b") as stream:
        places = {key: places for key, *places in _records(path, stream)}
        for number, name in enumerate(owners):
            header, entry, size = places[f"data/{number}"]
            stream.seek(header + _LOCAL_LENGTHS)
            start = header + _LOCAL + sum(struct.unpack("<2H", stream.read(4)))
            checksum = _fill(stream, start, state[name])
            for place in (start + size + _DESCRIPTOR_CRC, entry + _ENTRY_CRC):
                if size:
                    stream.seek(place)
                    stream.write(struct.pack("<L", checksum))
            state.release()


def _skeleton(path: Path, outlines: Mapping[str, Outline]) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.serialization import skip_data

    tensors: dict[str, Tensor] = {}
    with FakeTensorMode(), skip_data(materialize_fake_tensors=True):
        for name, outline in outlines.items():
            owner = outline.shared_with
            made = torch.empty(outline.shape, dtype=outline.dtype) if owner is None else None
            tensors[name] = tensors[owner or name] if made is None else made
        torch.save(tensors, path)


def _records(path: Path, stream: BinaryIO) -> Iterator[tuple[str, int, int, int]]:
    """Name without the archive's, and where the header and the directory's entry begin; size."""
    with zipfile.ZipFile(path) as archive:
        entry = archive.start_dir
        for info in archive.infolist():
            yield info.filename.partition("/")[2], info.header_offset, entry, info.file_size
            stream.seek(entry + _ENTRY_LENGTHS)
            entry += _ENTRY + sum(struct.unpack("<3H", stream.read(6)))


def _fill(stream: BinaryIO, start: int, tensor: Tensor) -> int:
    """Write the bytes of `tensor` at `start`; returns their CRC-32."""
    words: Any = tensor.contiguous().flatten().view(torch.uint8).numpy()
    data = memoryview(words)
    checksum = 0
    stream.seek(start)
    for offset in range(0, len(data), _CHUNK):
        part = data[offset : offset + _CHUNK]
        checksum = zlib.crc32(part, checksum)
        stream.write(part)
    return checksum
