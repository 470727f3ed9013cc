"""Which tensors does a `torch.save` file (torch >= 1.6, a zip archive) hold?

The archive has one folder with `data.pkl`, the pickled object, `data/<key>`, the storages' bytes,
and `byteorder` (https://github.com/pytorch/pytorch/blob/main/torch/serialization.py, `_save`).
"""

from __future__ import annotations

from prunescope.checkpoint.pickle_machine import MAX_PICKLE, interpret
from prunescope.checkpoint.pickle_values import PickleError
from prunescope.checkpoint.storage import File
from prunescope.checkpoint.torch_pickle import contents
from prunescope.checkpoint.torch_storage import Place, StorageId
from prunescope.checkpoint.types import Contents
from prunescope.checkpoint.zip_directory import read_directory, read_record
from prunescope.errors import CheckpointError


def read(file: File) -> Contents:
    """The tensors of the model in one file, in its order.

    Raises:
        CheckpointError: not a torch archive, malformed, big-endian or without a model.
    """
    records = read_directory(file)
    pickles = [r for r in records.values() if r.name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise CheckpointError(file, "a zip archive, but not one torch.save wrote")
    folder = pickles[0].name.removesuffix("data.pkl")
    order = records.get(f"{folder}byteorder")
    if order is not None and read_record(file, order, MAX_PICKLE) != b"little":
        raise CheckpointError(file, "was saved on a big-endian machine: save it on another")
    raw = read_record(file, pickles[0], MAX_PICKLE)
    try:
        root = interpret(raw).root
    except PickleError as err:
        raise CheckpointError(file, f"data.pkl: {err}") from None

    def locate(storage: StorageId, tensor: str) -> Place:
        record = records.get(f"{folder}data/{storage.key}")
        if record is None:
            cause = f"tensor {tensor!r}: its storage {storage.key!r} is missing"
            raise CheckpointError(file, cause)
        return Place(0, record.size, record.header)

    return contents(root, locate, file)
