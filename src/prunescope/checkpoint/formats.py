"""Which format is a file in? Its first bytes decide, not its name.

A format is one module with one function, `read(file: File) -> Contents`, imported when a file of
that format is met.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from prunescope.checkpoint.storage import File
from prunescope.checkpoint.types import Contents
from prunescope.errors import CheckpointError

_HEAD = 512


@dataclass(frozen=True, slots=True)
class Format:
    """How one format is recognised.

    Attributes:
        name: what users are told.
        module: where its reader is.
        matches: whether a file of this format can begin with these bytes and have this size.
    """

    name: str
    module: str
    matches: Callable[[bytes, int], bool]


FORMATS = (
    Format(
        "torch zip",
        "prunescope.checkpoint.torch_zip",
        lambda head, _: head.startswith(b"PK\x03\x04"),
    ),
    Format(
        "safetensors",
        "prunescope.checkpoint.safetensors",
        lambda head, size: head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size,
    ),
    Format("GGUF", "prunescope.checkpoint.gguf", lambda head, _: head.startswith(b"GGUF")),
)
# What people name by mistake, and what to do about it.
_OTHERS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (
        lambda head: head.startswith(b"version https://git-lfs"),
        "is a Git LFS pointer: run  git lfs pull",
    ),
)
_UNKNOWN = "in no format that prunescope reads: {}".format(", ".join(f.name for f in FORMATS))


def recognise(file: File) -> Format:
    """The format of `file`.

    Raises:
        CheckpointError: empty, unreadable or in no known format.
    """
    size = file.size
    if not size:
        raise CheckpointError(file, "is an empty file")
    head = file.read(0, _HEAD)
    for known in FORMATS:
        if known.matches(head, size):
            return known
    for matches, cause in _OTHERS:
        if matches(head):
            raise CheckpointError(file, cause)
    if file.name.endswith(".safetensors"):
        # Its reader can say what is wrong with it.
        return next(f for f in FORMATS if f.name == "safetensors")
    raise CheckpointError(file, _UNKNOWN)


def read(file: File) -> tuple[str, Contents]:
    """The name of the format of `file`, and what it holds.

    Raises:
        CheckpointError: as `recognise`, or whatever the format's reader finds wrong.
    """
    found = recognise(file)
    contents: Contents = import_module(found.module).read(file)
    return found.name, contents
