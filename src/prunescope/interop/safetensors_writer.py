"""How is a safetensors file written without holding its tensors? Header first, then their runs.

Format: https://github.com/huggingface/safetensors#format. The header keeps the model's order; the
data lies by falling width of its elements, so that every tensor is aligned to its own, as the
format's own library does it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prunescope.checkpoint.dtypes import DTYPE_BITS, bytes_of
from prunescope.checkpoint.runs import MAX_RUN, runs
from prunescope.checkpoint.safetensors import MAX_HEADER
from prunescope.checkpoint.types import TensorInfo
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError

# In torch, but not in the format.
_FOREIGN = {"C128"}


class Source(Protocol):
    """Where the bytes of tensors come from."""

    def runs(self, tensor: TensorInfo) -> Iterator[tuple[int, memoryview | bytes]]:
        """The bytes of `tensor`, rows contiguous, as (offset, bytes)."""

    def release(self) -> None:
        """Forget what was read so far."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Tensors as they lie in files."""

    weights: WeightMap

    def runs(self, tensor: TensorInfo) -> Iterator[tuple[int, memoryview | bytes]]:
        """See `prunescope.checkpoint.runs`."""
        return runs(self.weights, tensor)

    def release(self) -> None:
        """See `WeightMap.release`."""
        self.weights.release()


def check_storable(tensors: Mapping[str, TensorInfo]) -> None:
    """Raise CheckpointError for a dtype or a name that a safetensors file cannot hold."""
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPE_BITS or tensor.dtype in _FOREIGN:
            raise CheckpointError(
                tensor.file, f"tensor {name!r} is {tensor.dtype}, which safetensors cannot hold"
            )
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise CheckpointError(tensor.file, f"the name {name!r} is not UTF-8") from None
        if name == "__metadata__":
            raise CheckpointError(tensor.file, "a tensor is named __metadata__")


def write_safetensors(
    path: Path,
    tensors: Mapping[str, TensorInfo],
    source: Source,
    metadata: Mapping[str, str],
    tick: Callable[[], None],
) -> None:
    """Write `tensors`, by the names they get, to the new file `path`.

    Args:
        tensors: of storable dtypes and names; whole, strided or in pieces.
        source: gives their bytes.
        metadata: the file's own key/value notes.
        tick: called after each tensor.

    Raises:
        CheckpointError: a tensor cannot be read.
        OSError: the file cannot be written.
    """
    order = sorted(tensors, key=lambda name: -DTYPE_BITS[tensors[name].dtype])
    places, position = {}, 0
    for name in order:
        places[name] = position
        position += stored_bytes(tensors[name])
    header = _header(tensors, places, metadata)
    with path.open("wb") as stream:
        stream.write(header)
        at, unreleased = 0, 0
        for name in order:
            for offset, data in source.runs(tensors[name]):
                place = places[name] + offset
                if place != at:
                    stream.seek(len(header) + place)
                stream.write(data)
                at = place + len(data)
                unreleased += len(data)
                if unreleased >= MAX_RUN:
                    source.release()
                    unreleased = 0
            tick()


def stored_bytes(tensor: TensorInfo) -> int:
    """Bytes that `tensor` takes with its rows contiguous."""
    nbytes = bytes_of(tensor.dtype, tensor.parameters)
    if nbytes is None:
        raise CheckpointError(tensor.file, f"tensor {tensor.name!r} does not fill whole bytes")
    return nbytes


def _header(
    tensors: Mapping[str, TensorInfo], places: Mapping[str, int], metadata: Mapping[str, str]
) -> bytes:
    entries: dict[str, object] = {"__metadata__": dict(metadata)}
    for name, tensor in tensors.items():
        begin = places[name]
        entries[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [begin, begin + stored_bytes(tensor)],
        }
    raw = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    raw += b" " * (-len(raw) % 8)
    if len(raw) > MAX_HEADER:
        raise CheckpointError(
            next(iter(tensors.values())).file, "has more tensors than a safetensors header holds"
        )
    return len(raw).to_bytes(8, "little") + raw
