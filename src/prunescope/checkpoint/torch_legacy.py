"""Which tensors does a `torch.save` file of torch < 1.6 hold?

Five pickles lie one behind the other: a magic number, the protocol version, facts about the
machine, the object, and the storages' keys in the order in which the storages follow. Each storage
is its number of elements, a little-endian int64, and its bytes
(https://github.com/pytorch/pytorch/blob/main/torch/serialization.py, `_legacy_save`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prunescope.checkpoint.pickle_stream import PickleStream
from prunescope.checkpoint.pickle_values import Dict
from prunescope.checkpoint.storage import File
from prunescope.checkpoint.torch_pickle import contents
from prunescope.checkpoint.torch_storage import Place, StorageId, storage_id
from prunescope.checkpoint.types import Contents
from prunescope.errors import CheckpointError

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
# Small storages lie close together: their sizes come in few reads.
_WINDOW = 64 << 10


def read(file: File) -> Contents:
    """The tensors of the model in one file, in its order.

    Raises:
        CheckpointError: malformed, big-endian, truncated or without a model.
    """
    stream = PickleStream(file)
    if _next(stream, "magic number")[0] != MAGIC:
        raise CheckpointError(file, "has the wrong magic number")
    if _next(stream, "protocol version")[0] != PROTOCOL:
        raise CheckpointError(file, f"a protocol version other than {PROTOCOL}")
    machine = _next(stream, "machine's description")[0]
    if not isinstance(machine, Dict) or machine.by_name().get("little_endian") is not True:
        raise CheckpointError(file, "was saved on a big-endian machine: save it on another")
    root, storages = _next(stream, "object")
    keys = _next(stream, "list of storages")[0]
    if not isinstance(keys, list):
        raise CheckpointError(file, "its list of storages is none")
    places = dict(_places(keys, storages, stream.position, file))

    def locate(storage: StorageId, tensor: str) -> Place:
        place = places.get(storage.key)
        if place is None:
            cause = f"tensor {tensor!r}: its storage {storage.key!r} is missing"
            raise CheckpointError(file, cause)
        return _viewed(place, storage, tensor, file)

    return contents(root, locate, file)


def _next(stream: PickleStream, what: str) -> tuple[Any, dict[str, StorageId]]:
    """The next pickle's object, and the storages that it names, by key."""
    found = stream.next()
    if found.error is not None:
        raise CheckpointError(stream.file, f"the {what}: {found.error}")
    storages: dict[str, StorageId] = {}
    for persistent in found.persistent:
        storage = storage_id(persistent)
        if storage is not None:
            # As torch does: the first that is met decides.
            storages.setdefault(storage.key, storage)
    return found.root, storages


def _places(
    keys: list[Any], storages: dict[str, StorageId], position: int, file: File
) -> Iterator[tuple[str, Place]]:
    """Where each storage's bytes lie, from `position` on."""
    start, window = position, b""
    seen: set[str] = set()
    for key in keys:
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None or storage.key in seen:
            raise CheckpointError(file, f"storage {key!r} is listed, but not once in the object")
        if storage.itemsize is None:
            raise CheckpointError(file, f"storage {key!r} is of a type this reader does not know")
        seen.add(storage.key)
        if not start <= position <= start + len(window) - 8:
            start, window = position, file.read(position, _WINDOW)
        size = window[position - start :][:8]
        if len(size) < 8:
            raise CheckpointError(file, f"truncated before storage {key!r}")
        elements = int.from_bytes(size, "little", signed=True)
        if elements != storage.elements:
            cause = f"storage {key!r} has {elements} elements, the object says {storage.elements}"
            raise CheckpointError(file, cause)
        nbytes = storage.itemsize * elements
        if position + 8 + nbytes > file.size:
            raise CheckpointError(file, f"truncated inside storage {key!r}")
        yield storage.key, Place(position + 8, nbytes)
        position += 8 + nbytes


def _viewed(place: Place, storage: StorageId, tensor: str, file: File) -> Place:
    if storage.view is None or storage.itemsize is None:
        return place
    begin, length = (storage.itemsize * n for n in storage.view)
    if begin + length > place.nbytes:
        cause = f"tensor {tensor!r}: a view beyond storage {storage.key!r}"
        raise CheckpointError(file, cause)
    return Place(place.offset + begin, length)
