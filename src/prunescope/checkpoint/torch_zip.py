"""Which tensors does a `torch.save` file (torch >= 1.6, a zip archive) hold?

The archive has one folder with `data.pkl`, the pickled object, `data/<key>`, the storages' bytes,
and `byteorder` (https://github.com/pytorch/pytorch/blob/main/torch/serialization.py, `_save`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from prunescope.checkpoint.pickle_machine import MAX_PICKLE, interpret
from prunescope.checkpoint.pickle_values import PickleError
from prunescope.checkpoint.storage import File
from prunescope.checkpoint.torch_pickle import contents
from prunescope.checkpoint.torch_storage import Locate, Place, StorageId
from prunescope.checkpoint.torch_tensor import is_tensor, located, stored
from prunescope.checkpoint.types import Contents, TensorInfo
from prunescope.checkpoint.zip_directory import MAX_DIRECTORY, read_directory, read_record
from prunescope.errors import CheckpointError

# What torch.save writes of one tensor: seven records in 500 bytes, and 40 to 60 opcodes.
_SMALL_DIRECTORY = 2048
_SMALL_PICKLE = 2048
_FEW_OPCODES = 150


def read(file: File) -> Contents:
    """The tensors of the model in one file, in its order.

    Raises:
        CheckpointError: not a torch archive, malformed, big-endian or without a model.
    """
    root, locate = _opened(file, MAX_DIRECTORY, MAX_PICKLE, _root)
    return contents(root, locate, file)


def read_tensor(file: File, name: str) -> tuple[TensorInfo, int]:
    """The tensor in a file that `torch.save` wrote of nothing but one tensor; `name` names it.

    Returns:
        The tensor, and the CRC-32 of its bytes; 0 where the file does not state that.

    Raises:
        CheckpointError: as `read`, or the file holds something else, or more.
    """
    root, locate = _opened(file, _SMALL_DIRECTORY, _SMALL_PICKLE, _small_root)
    if not is_tensor(root):
        raise CheckpointError(file, f"tensor {name!r} is not one this reader knows")
    tensor = stored(root, name, file)
    place = locate(tensor.storage, name)
    found = located(name, tensor, place, file)
    is_all = found.nbytes == place.nbytes and found.strides is None
    return found, place.crc if is_all else 0


def _root(pickled: bytes) -> Any:
    return interpret(pickled).root


@lru_cache(maxsize=256)
def _small_root(pickled: bytes) -> Any:
    # The pieces of a model are tens of thousands, and those of one shape are pickled alike.
    return interpret(pickled, opcodes=_FEW_OPCODES).root


def _opened(
    file: File, max_directory: int, max_pickle: int, describe: Callable[[bytes], Any]
) -> tuple[Any, Locate]:
    """What the archive's pickle describes, and what finds the storages that it names."""
    records = read_directory(file, max_directory)
    pickles = [name for name in records if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise CheckpointError(file, "a zip archive, but not one torch.save wrote")
    folder = pickles[0].removesuffix("data.pkl")
    order = records.get(f"{folder}byteorder")
    if order is not None and read_record(file, order, max_pickle) != b"little":
        raise CheckpointError(file, "was saved on a big-endian machine: save it on another")
    raw = read_record(file, records[pickles[0]], max_pickle)
    try:
        root = describe(raw)
    except PickleError as err:
        raise CheckpointError(file, f"data.pkl: {err}") from None

    def locate(storage: StorageId, tensor: str) -> Place:
        record = records.get(f"{folder}data/{storage.key.lower()}")
        if record is None:
            cause = f"tensor {tensor!r}: its storage {storage.key!r} is missing"
            raise CheckpointError(file, cause)
        return Place(0, record.size, record.header, record.crc)

    return root, locate
