"""Where are a tensor's bytes, now that somebody wants them? Read-only memory maps, no copies."""

from __future__ import annotations

import mmap
from pathlib import Path
from types import TracebackType

from prunescope.checkpoint.storage import File
from prunescope.checkpoint.types import TensorInfo
from prunescope.checkpoint.zip_directory import data_start
from prunescope.errors import CheckpointError


def small_bytes(tensor: TensorInfo, limit: int) -> bytes:
    """The bytes of a tensor that says something of others (a shape): read, from near or far.

    Raises:
        CheckpointError: it has more than `limit`, is no row of elements, or is cut off.
    """
    file = tensor.file
    if tensor.nbytes > limit or tensor.strides is not None or tensor.parts:
        raise CheckpointError(file, f"tensor {tensor.name!r} is no list of at most {limit} bytes")
    start = tensor.offset
    if tensor.record is not None:
        start += data_start(file, tensor.record)
    return file.read_exactly(start, tensor.nbytes, f"tensor {tensor.name!r}")


class WeightMap:
    """Memory maps of a checkpoint's files, opened as they are asked for.

    Use as a context manager; views taken from it keep their map alive.
    """

    def __init__(self) -> None:
        self._maps: dict[Path, mmap.mmap] = {}

    def __enter__(self) -> WeightMap:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Views outlive the block (numpy and torch hold them): dropping the reference closes each
        # map when its last view is gone; close() would raise BufferError.
        self._maps.clear()

    def view(self, tensor: TensorInfo) -> memoryview:
        """The tensor's bytes, from its first element to its last: read-only, not copied.

        Raises:
            CheckpointError: the file is remote, or ends before the tensor does; or the tensor is
                not stored as it is, but in parts.
        """
        if tensor.parts:
            way = f"parts ({tensor.dtype}): take the model as it was before quantisation"
            if tensor.parts[0].start is not None:
                way = "pieces: run  prunescope convert  first"
            raise CheckpointError(tensor.file, f"tensor {tensor.name!r} is stored in {way}")
        content = self._map(tensor.file)
        begin = tensor.offset
        if tensor.record is not None:
            begin += data_start(tensor.file, tensor.record)
        if begin + tensor.nbytes > len(content):
            raise CheckpointError(tensor.file, f"truncated inside tensor {tensor.name!r}")
        return memoryview(content)[begin : begin + tensor.nbytes]

    def release(self) -> None:
        """Give the pages read so far back to the system; views stay valid and read them again.

        Without it whoever copies a model through its views holds all of it in memory at the end.
        """
        for content in self._maps.values():
            content.madvise(mmap.MADV_DONTNEED)

    def _map(self, file: File) -> mmap.mmap:
        path = file.local
        if path is None:
            raise CheckpointError(file, "is remote: download the model to read its weights")
        if path not in self._maps:
            try:
                with path.open("rb") as stream:
                    self._maps[path] = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as err:
                raise CheckpointError(file, f"cannot be mapped ({err})") from None
        return self._maps[path]
