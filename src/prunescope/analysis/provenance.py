"""Which bytes was this said of? The files of a model, with their lengths and digests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from prunescope.analysis.record import RECORD
from prunescope.checkpoint import Checkpoint
from prunescope.checkpoint.jsonfile import MAX_BESIDE
from prunescope.checkpoint.storage import File

_CHUNK = 4 << 20
# What describes a model, and is small enough to be read anyway.
_BESIDE = ("config.json", RECORD)


@dataclass(frozen=True, slots=True)
class FileFact:
    """One file.

    Attributes:
        path: as the user would name it.
        nbytes: its length.
        sha256: in hexadecimal; None where it was not read to its end.
    """

    path: str
    nbytes: int
    sha256: str | None


def provenance(
    checkpoint: Checkpoint, whole: bool = False, tick: Callable[[], None] = lambda: None
) -> tuple[FileFact, ...]:
    """The weight files, then config.json and pruning.json where they are the model's.

    Args:
        whole: read weight files on this machine to their end for a digest; those far away are
            never fetched for one.
        tick: called after each weight file.

    Raises:
        CheckpointError: a file cannot be read.
    """
    facts = []
    for file in checkpoint.files:
        digest = sha256(file) if whole and file.local is not None else None
        facts.append(FileFact(str(file), file.size, digest))
        tick()
    for name in _BESIDE if checkpoint.owns_home else ():
        if checkpoint.home.has(name):
            file = checkpoint.home.file(name)
            digest = sha256(file) if file.size <= MAX_BESIDE else None
            facts.append(FileFact(str(file), file.size, digest))
    return tuple(facts)


def sha256(file: File) -> str:
    """SHA-256 of all bytes of `file`, in hexadecimal."""
    digest = hashlib.sha256()
    for offset in range(0, file.size, _CHUNK):
        digest.update(file.read_exactly(offset, min(_CHUNK, file.size - offset), "the file"))
    return digest.hexdigest()
