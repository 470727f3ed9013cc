"""Which pickles does a file hold, and where? All that a loader of it might be given to read.

In a zip archive: each record that is named like a pickle, or begins like one and is no storage.
Else those that lie one behind the other: five in torch's format before 1.6.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from prunescope.checkpoint import pickle_machine
from prunescope.checkpoint.formats import HEAD, is_pickle, mistaken, of_head
from prunescope.checkpoint.pickle_machine import MAX_PICKLE, Pickled, examine
from prunescope.checkpoint.pickle_stream import PickleStream
from prunescope.checkpoint.pickle_values import Bound
from prunescope.checkpoint.storage import File
from prunescope.checkpoint.zip_directory import ZipRecord, data_start, read_directory, read_record
from prunescope.errors import CheckpointError

# TorchScript has one for each file of code.
MAX_PICKLES = 10_000
# Of all pickles of a file together: the length of a string that is passed over counts too.
MAX_BYTES = 4 * MAX_PICKLE
# What a file is called that is nothing but pickles.
PICKLE = "pickle"
_NAMED = (".pkl", ".pickle", ".debug_pkl")
_STORAGE = re.compile(r"/data/\d+$")
_LEGACY_PICKLES = 5


def pickles_in(
    file: File, opcodes: int | None = None
) -> tuple[str | None, Iterator[tuple[str, Pickled]]]:
    """What `file` is, and its pickles, each with its place as an error begins.

    Args:
        opcodes: how many are interpreted of pickles that lie one behind the other; MAX_OPCODES of
            the machine by default.

    Returns:
        A name of `formats`, `PICKLE`, or None where it is something else without a pickle.

    Raises:
        CheckpointError: unreadable, empty, or of a kind that cannot be scanned; also while the
            pickles are gone through, as `in_archive` and `in_stream`.
    """
    if not file.size:
        raise CheckpointError(file, "is an empty file")
    head = file.read(0, HEAD)
    known = of_head(head, file.size)
    kind = known.name if known is not None else None
    if kind == "torch zip":
        return kind, in_archive(file)
    if kind == "torch legacy" or (kind is None and is_pickle(head)):
        return kind or PICKLE, in_stream(PickleStream(file, opcodes), is_legacy=kind is not None)
    cause = mistaken(head) if kind is None else None
    if head.startswith(b"\x93NUMPY"):
        cause = "is a NumPy array, which may hold a pickle and is not scanned"
    if cause is not None:
        raise CheckpointError(file, cause)
    # Protocols 0 and 1 have no first byte of their own, and even the length of a safetensors
    # header can be opcodes: what parses is a pickle to whoever loads it as one.
    stream = PickleStream(file, opcodes)
    first = _names(stream.next())
    if is_none(first) or (kind is not None and not _names_a_module(first)):
        return kind, iter(())
    return PICKLE, in_stream(stream, is_legacy=False, first=first)


def _names_a_module(found: Pickled) -> bool:
    return any(use.module.replace(".", "_").isidentifier() for use in found.uses)


def is_none(found: Pickled) -> bool:
    """Whether there is no pickle: an unpickler would fail too, and before it imports anything."""
    return found.error is not None and not found.uses and not isinstance(found.error, Bound)


def in_archive(file: File) -> Iterator[tuple[str, Pickled]]:
    """The pickles of a zip archive, each with its place as an error begins.

    Raises:
        CheckpointError: as `read_directory`, or more than this module's bounds.
    """
    left = pickle_machine.MAX_OPCODES
    records = [r for r in read_directory(file).values() if _is_named(r) or _begins(file, r)]
    if len(records) > MAX_PICKLES or sum(r.size for r in records) > MAX_BYTES:
        raise CheckpointError(file, _over_bounds("in one archive"))
    for record in records:
        found = examine(read_record(file, record, MAX_PICKLE), 0, left)
        left -= found.opcodes
        if _is_named(record) or not is_none(found):
            yield f"{record.name}: ", found


def in_stream(
    stream: PickleStream, is_legacy: bool, first: Pickled | None = None
) -> Iterator[tuple[str, Pickled]]:
    """The pickles of any other file, each with its place as an error begins.

    Args:
        is_legacy: whether it is in torch's format before 1.6, with weights behind the pickles.
        first: the one that was read already.

    Raises:
        CheckpointError: unreadable, or more than this module's bounds.
    """
    size = stream.file.size
    for count in range(_LEGACY_PICKLES if is_legacy else MAX_PICKLES):
        start = 0 if count == 0 else stream.position
        if start >= size:
            return
        found = first if first is not None and count == 0 else _names(stream.next())
        if count and not is_legacy and is_none(found):
            # Whatever lies behind a pickle: its reader stops there.
            return
        yield f"the pickle at byte {start}: ", found
        if found.error:
            return
        if stream.position > MAX_BYTES:
            break
    if not is_legacy and stream.position < size:
        raise CheckpointError(stream.file, _over_bounds("one behind the other"))


def _names(found: Pickled) -> Pickled:
    # The objects are not held while the next pickle is read: each may be as large as one may be.
    return replace(found, root=None, persistent=())


def _is_named(record: ZipRecord) -> bool:
    return record.name.lower().endswith(_NAMED)


def _begins(file: File, record: ZipRecord) -> bool:
    if _STORAGE.search(record.name):
        return False
    return is_pickle(file.read(data_start(file, record.header), min(2, record.size)))


def _over_bounds(where: str) -> str:
    return f"over {MAX_PICKLES} pickles or {MAX_BYTES >> 20} MiB of them {where}"
