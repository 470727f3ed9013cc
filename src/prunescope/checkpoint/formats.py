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

# What tells a format, in bytes.
HEAD = 512
SAFETENSORS = "safetensors"


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


def is_pickle(head: bytes) -> bool:
    """Whether a file that begins with these bytes can be a pickle of protocol 2 or later."""
    return head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5")


def _is_legacy(head: bytes) -> bool:
    # Protocol 4 has a frame's length before the number.
    return is_pickle(head) and _MAGIC in head[:32]


def _has_header(head: bytes) -> bool:
    """Whether a JSON object can begin behind the length; before it there may be whitespace."""
    return len(head) > 8 and head[8:].lstrip(b" \t\n\r")[:1] in (b"{", b"")


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


# How a pickle of 0x1950A86A20F9469CFC6C ends, as bytes and as text (protocol 1).
_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_MAGIC_TEXT = b"L119547037146038801333356L\n."
FORMATS = (
    Format(
        "torch zip",
        "prunescope.checkpoint.torch_zip",
        lambda head, _: head.startswith(b"PK\x03\x04"),
    ),
    Format(
        "torch legacy",
        "prunescope.checkpoint.torch_legacy",
        lambda head, _: head.startswith(_MAGIC_TEXT) or _is_legacy(head),
    ),
    Format(
        SAFETENSORS,
        "prunescope.checkpoint.safetensors",
        lambda head, size: _has_header(head) and int.from_bytes(head[:8], "little") <= size,
    ),
    Format("GGUF", "prunescope.checkpoint.gguf", lambda head, _: head.startswith(b"GGUF")),
)
# gzip, xz, zstd, bzip2, 7z.
_COMPRESSED = (b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"BZh", b"7z\xbc\xaf\x27\x1c")
# ggml, ggmf, ggjt and ggla, as little-endian numbers.
_GGML = (b"lmgg", b"fmgg", b"tjgg", b"algg")
# What people name by mistake, and what to do about it.
_OTHERS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (
        lambda head: head.startswith(b"version https://git-lfs"),
        "is a Git LFS pointer: run  git lfs pull",
    ),
    (
        lambda head: head.lstrip()[:1] == b"{",
        "is JSON, not weights: name its folder",
    ),
    (
        lambda head: _is_tar(head) and head.startswith(b"sys_info\0"),
        "is a tar file, as torch 0.1 wrote: load it with torch and save it again",
    ),
    (
        # As for pickles below.
        lambda head: _is_tar(head) or (head.startswith(_COMPRESSED) and not _has_header(head)),
        "is an archive: unpack it, and name the model in it",
    ),
    (
        lambda head: head.startswith(b"\x89HDF\r\n\x1a\n"),
        "is HDF5, as Keras writes: save the model for torch, or as safetensors",
    ),
    (
        lambda head: head[:4] in _GGML,
        "is GGML, which came before GGUF: convert it with llama.cpp's "
        "convert_llama_ggml_to_gguf.py",
    ),
    (
        lambda head: head.lstrip()[:9].lower() in (b"<!doctype", b"<html><he", b"<html>"),
        "is a web page, not the file that was to be downloaded: has the address changed, or does "
        "it want a login?",
    ),
    (
        # The first bytes may also be the length of a damaged safetensors file's header.
        lambda head: is_pickle(head) and not _has_header(head),
        "is a bare pickle, not a model that torch.save wrote: load it where it was made and save "
        "its state dict (prunescope scan  lists what loading it would run)",
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
    head = file.read(0, HEAD)
    known = of_head(head, size)
    if known is not None:
        return known
    cause = mistaken(head)
    if cause is not None:
        raise CheckpointError(file, cause)
    if file.name.endswith(".safetensors"):
        # Its reader can say what is wrong with it.
        return next(f for f in FORMATS if f.name == SAFETENSORS)
    raise CheckpointError(file, _UNKNOWN)


def of_head(head: bytes, size: int) -> Format | None:
    """The format of a file of `size` bytes that begins with `head`; None where it is none."""
    return next((known for known in FORMATS if known.matches(head, size)), None)


def mistaken(head: bytes) -> str | None:
    """What a file that begins with these bytes is instead of a model; None where that is open."""
    return next((cause for matches, cause in _OTHERS if matches(head)), None)


def read(file: File) -> tuple[str, Contents]:
    """The name of the format of `file`, and what it holds.

    Raises:
        CheckpointError: as `recognise`, or whatever the format's reader finds wrong.
    """
    found = recognise(file)
    contents: Contents = import_module(found.module).read(file)
    return found.name, contents
