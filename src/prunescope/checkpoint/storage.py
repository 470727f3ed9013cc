"""Where do bytes come from? Files and folders, on this machine or far away, behind one face.

A reader asks a `File` for the bytes it needs and never learns where they are; only those who map
weights into memory ask for its `local` path. Remote ones are in `prunescope.checkpoint.remote`.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from prunescope.errors import CheckpointError

# A folder in a folder is the deepest that weights are kept.
MAX_DEPTH = 16


class File(ABC):
    """Bytes that can be read from any place. `str()` of it is what an error names."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The last part of its path."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Its length in bytes.

        Raises:
            CheckpointError: missing, unreadable, or no ordinary file.
        """

    @abstractmethod
    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, fewer at the end of the file.

        Raises:
            CheckpointError: it cannot be read.
        """

    @property
    def local(self) -> Path | None:
        """Its path on this machine; None for a remote file."""
        return None

    def read_exactly(self, offset: int, length: int, what: str) -> bytes:
        """`length` bytes from `offset`.

        Raises:
            CheckpointError: the file ends before; `what` names the place in the error.
        """
        data = self.read(offset, length)
        if len(data) < length:
            raise CheckpointError(self, f"truncated inside {what}")
        return data


class Folder(ABC):
    """The files that lie together with a model's weights."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names of the files directly in it, sorted."""

    @abstractmethod
    def file(self, name: str) -> File:
        """The file `name`, once it is sure not to lead out of the folder.

        Raises:
            CheckpointError: an absolute path, `..`, or a link that leaves the folder.
        """

    def named(self, name: str) -> File:
        """The file `name` that the user named, who may name a link to anywhere."""
        return self.file(name)

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is a file `name`."""

    @abstractmethod
    def total_bytes(self) -> int | None:
        """Length of every file in it, sub-folders included; None where that cannot be known."""

    def missing(self, names: Iterable[str]) -> str | None:
        """The first of `names` that is not there; None where all are, or only reading can tell."""
        return next((name for name in names if not self.has(name)), None)

    def close(self) -> None:  # noqa: B027 - a local folder holds nothing open
        """Let go of what it holds open; it stays usable."""

    @property
    def local(self) -> Path | None:
        """Its path on this machine; None for a remote folder."""
        return None


@dataclass(frozen=True)
class LocalFile(File):
    """A file on this machine."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.name

    @property
    def local(self) -> Path:
        """Its path."""
        return self.path

    @cached_property
    def size(self) -> int:
        """Its length in bytes."""
        try:
            status = self.path.stat()
        except OSError as err:
            raise CheckpointError(self, f"cannot be read ({err.strerror})") from None
        if not stat.S_ISREG(status.st_mode):
            # Opening a pipe would wait for ever, and a device has no end.
            raise CheckpointError(self, "is no ordinary file")
        return status.st_size

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, fewer at the end of the file."""
        length = max(0, min(length, self.size - offset))
        try:
            with self.path.open("rb", buffering=0) as stream:
                stream.seek(offset)
                data = stream.read(length)
                # One read returns at most 2 GiB, and may return less than was asked for.
                while len(data) < length and (more := stream.read(length - len(data))):
                    data += more
        except OSError as err:
            raise CheckpointError(self, f"cannot be read ({err.strerror})") from None
        return data


@dataclass(frozen=True)
class LocalFolder(Folder):
    """A folder on this machine."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def local(self) -> Path:
        """Its path."""
        return self.path

    def names(self) -> list[str]:
        """The names of the files directly in it, sorted."""
        try:
            with os.scandir(self.path) as entries:
                return sorted(entry.name for entry in entries if _is_file(entry))
        except OSError as err:
            raise CheckpointError(self, f"cannot be read ({err.strerror})") from None

    def has(self, name: str) -> bool:
        """Whether there is a file `name`."""
        try:
            return (self.path / name).is_file()
        except OSError as err:
            cause = f"a file name that cannot be followed ({err.strerror}): {name!r}"
            raise CheckpointError(self, cause) from None
        except ValueError:
            return False

    def file(self, name: str) -> LocalFile:
        """The file `name`.

        A link may lead into the `blobs` of the same model in the hub's cache, whose snapshots are
        made of such links.
        """
        check_name(self, name)
        path = self.path / name
        try:
            target, root = path.resolve(), self.path.resolve()
        except (OSError, RuntimeError, UnicodeError) as err:
            # Before Python 3.13 a loop of links is a RuntimeError.
            raise CheckpointError(self, f"file name {name!r} cannot be followed ({err})") from None
        allowed = [root]
        if root.parent.name == "snapshots":
            allowed.append(root.parent.parent / "blobs")
        if not any(target.is_relative_to(place) for place in allowed):
            raise CheckpointError(
                path, "is a link that leaves the model's folder: name what it leads to, or copy it"
            )
        return LocalFile(path)

    def named(self, name: str) -> LocalFile:
        """The file `name` that the user named, who may name a link to anywhere."""
        return LocalFile(self.path / name)

    def total_bytes(self) -> int | None:
        """Length of every file in it, sub-folders included; None where one may not be looked at."""
        try:
            files = (
                Path(place, name)
                for place, _, names in os.walk(self.path, onerror=_raised)
                for name in names
            )
            return sum(file.stat().st_size for file in files if file.is_file())
        except OSError:
            return None


def _raised(err: OSError) -> None:
    raise err


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        # A loop of links: whoever follows it learns why.
        return True


def check_name(folder: object, name: str) -> None:
    """Raise CheckpointError if `name`, written by a stranger, could lead out of `folder`."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\0" in name or "\\" in name:
        raise CheckpointError(folder, f"file name {name!r} leads out of the folder")
    if len(pure.parts) > MAX_DEPTH:
        # Each step is followed for each of a stranger's names.
        raise CheckpointError(folder, f"file name {name!r} lies over {MAX_DEPTH} folders deep")
