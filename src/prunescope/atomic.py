"""How is output written? Whole or not at all: built beside its place, then renamed into it."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prunescope.errors import PrunescopeError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it over `path` when the block succeeds.

    A link is followed, and what is no ordinary file (`/dev/stdout`) is written to as it is.

    Raises:
        PrunescopeError: the folder cannot be written to, or the file is a folder or read-only; an
            existing file is left as it was.
    """
    temporary: Path | None = None
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            yield path
            return
        if path.is_file() and not os.access(path, os.W_OK):
            # A rename would not ask.
            raise PermissionError(errno.EACCES, "is read-only")
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path = _followed(path)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        # mkstemp's 0600 would surprise whoever shares the folder.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as err:
        raise cannot_write(path, err) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path, is_ours: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield an empty folder beside `path`; put it in the place of `path` when the block succeeds.

    Args:
        path: the folder to write, or a link to it; its parents are made.
        is_ours: whether a file of an existing `path` is an earlier output, to be dropped; all
            others are carried over into the new folder.

    Raises:
        PrunescopeError: the folder cannot be written; an existing one is left as it was.
    """
    temporary: Path | None = None
    path = _followed(path)
    retired = path.parent / f".{path.name}.old"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # An earlier run may have been killed between the two renames below.
        _restore(retired, path)
        refuse_file(path)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        try:
            if path.exists():
                _carry_over(path, temporary, is_ours)
                shutil.rmtree(retired, ignore_errors=True)
                path.rename(retired)
            temporary.rename(path)
        except BaseException:
            _restore(retired, path)
            raise
        shutil.rmtree(retired, ignore_errors=True)
    except OSError as err:
        raise cannot_write(path, err) from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def refuse_file(folder: Path) -> None:
    """Raise PrunescopeError if `folder`, where one is to be written, is a file."""
    if folder.exists() and not folder.is_dir():
        raise PrunescopeError(f"{folder}: is a file, a folder is to be written here")


def check_writable(folder: Path) -> None:
    """Can `folder` be made or replaced, as far as can be told before the work is done?

    Raises:
        PrunescopeError: the nearest folder above it that exists cannot be written to.
    """
    place = _followed(folder).parent
    # A link that leads nowhere (a disk that is not mounted) exists, too.
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise PrunescopeError(f"{folder}: cannot be written ({place} is no writable folder)")


def _followed(path: Path) -> Path:
    # Only a link: an error should name the path as the user wrote it.
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _restore(retired: Path, path: Path) -> None:
    """Undo the first of the two renames where the second was not done."""
    if retired.exists() and not path.exists():
        retired.rename(path)


def _carry_over(old: Path, new: Path, is_ours: Callable[[Path], bool]) -> None:
    for entry in old.iterdir():
        target = new / entry.name
        if is_ours(entry) or target.exists():
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, target, symlinks=True)
        else:
            shutil.copy2(entry, target, follow_symlinks=False)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def cannot_write(path: Path, err: OSError) -> PrunescopeError:
    """What there is to say where writing `path` failed with `err`."""
    return PrunescopeError(f"{path}: cannot be written ({err.strerror or err})")
