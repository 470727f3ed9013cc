"""Which files lie in a store that fsspec reaches (`s3://`, `gs://`, `memory://`, …)?

fsspec: https://filesystem-spec.readthedocs.io. A store's own package and credentials are the
user's; it is asked for listings and byte ranges.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from prunescope.checkpoint.remote.files import (
    Listed,
    NotThere,
    Piece,
    RemoteFile,
    RemoteFolder,
    is_length,
)
from prunescope.checkpoint.remote.replies import TransferError
from prunescope.checkpoint.remote.urls import shown, without_secrets
from prunescope.checkpoint.remote.waiting import patience, within
from prunescope.errors import CheckpointError, first_line
from prunescope.extras import require

T = TypeVar("T")


def locate(text: str) -> tuple[RemoteFolder, str | None]:
    """The folder at an address, or that of the file at it and the file's name.

    Raises:
        CheckpointError: nothing there, no such protocol, or no access.
        MissingExtra: fsspec is not installed.
    """
    place = shown(text)
    if "::" in text:
        raise CheckpointError(place, "chained addresses (::) are not supported")
    store, path = _store(text, place)
    try:
        info = store.ask(partial(store.fs.info, path))
        if info.get("type") == "directory":
            return _folder(store, place.rstrip("/"), path, None), None
        parent, _, name = path.rpartition("/")
        if info.get("type") != "file" or not name:
            raise CheckpointError(place, "is neither a file nor a folder")
        return _folder(store, place.rpartition("/")[0], parent, {name: _size(info)}), name
    except TransferError as err:
        raise CheckpointError(place, str(err)) from None


class Store:
    """An fsspec file system that is counted, waited for and never believed."""

    def __init__(self, fs: Any, address: str) -> None:
        """`address` is what the user named; secrets in it stay out of errors."""
        self.fs = fs
        self._address = address
        self.requests = 0
        self.received = 0
        self._lock = Lock()

    def ask(self, call: Callable[[], T], length: int = 0) -> T:
        """What `call` returns.

        Raises:
            NotThere: there is nothing, or the store does not say.
            TransferError: any other failure, in one line.
        """
        seconds = patience(length)
        with self._lock:
            self.requests += 1
        try:
            return within(seconds, call)
        except FileNotFoundError:
            raise NotThere("no such file or folder") from None
        except PermissionError as err:
            reason = without_secrets(first_line(err), self._address)
            raise NotThere(f"access denied ({reason}): check the credentials") from None
        except TimeoutError:
            raise TransferError(
                f"no answer within {seconds:.0f} s: try again, or set PRUNESCOPE_TIMEOUT to more "
                "seconds"
            ) from None
        except Exception as err:  # each store's library has errors of its own
            reason = f"{type(err).__name__}: {without_secrets(first_line(err), self._address)}"
            raise TransferError(f"cannot be fetched ({reason})") from None

    def fetch(self, path: str, size: int, offset: int, length: int, _known: int) -> Piece:
        """A piece of the file `path`, whose length is `size`."""
        call = partial(self.fs.cat_file, path, start=offset, end=offset + length)
        data = bytes(self.ask(call, length))
        with self._lock:
            self.received += len(data)
        if len(data) != length:
            raise TransferError(f"{len(data)} bytes came, {length} were asked for")
        return Piece(offset, data, size)


class StoreFolder(Listed):
    """A folder of a store, or the folder of a lone file in one."""

    def __init__(
        self, store: Store, place: str, path: str, sizes: dict[str, int | None], whole: bool
    ) -> None:
        """`whole`: whether `sizes` lists all that lies in the folder."""
        super().__init__(place, sizes)
        self._store = store
        self._path = path
        self._whole = whole
        self._absent: set[str] = set()

    def has(self, name: str) -> bool:
        """Whether there is a file `name`: as listed, or the store is asked, once."""
        unlisted = not self._whole or "/" in name
        if unlisted and name not in self._sizes and name not in self._absent:
            try:
                info = self._store.ask(partial(self._store.fs.info, f"{self._path}/{name}"))
            except NotThere:
                info = {}
            except TransferError as err:
                raise CheckpointError(f"{self}/{name}", str(err)) from None
            if info.get("type") == "file":
                self._sizes[name] = _size(info)
            else:
                self._absent.add(name)
        return name in self._sizes

    def total_bytes(self) -> int | None:
        """Length of every file under the folder, sub-folders included."""
        try:
            found = self._store.ask(partial(self._store.fs.find, self._path, detail=True))
        except TransferError as err:
            raise CheckpointError(self, str(err)) from None
        sizes = [_size(info) for info in found.values()]
        return None if None in sizes else sum(size or 0 for size in sizes)

    @property
    def traffic(self) -> tuple[int, int]:
        """Calls of the store and bytes received so far; a listing's bytes are not known."""
        return self._store.requests, self._store.received

    def _make(self, name: str) -> RemoteFile:
        place, path = f"{self}/{name}", f"{self._path}/{name}"
        size = self._sizes[name] if self.has(name) else None
        if size is None:
            raise CheckpointError(place, "no such file, or none whose length the store knows")
        return RemoteFile(
            name.rpartition("/")[2], place, partial(self._store.fetch, path, size), size
        )


def _folder(store: Store, place: str, path: str, file: dict[str, int | None] | None) -> StoreFolder:
    if file is not None:
        return StoreFolder(store, place, path, file, whole=False)
    sizes = {}
    for info in store.ask(partial(store.fs.ls, path, detail=True)):
        if info.get("type") == "file":
            sizes[str(info["name"]).rstrip("/").rpartition("/")[2]] = _size(info)
    return StoreFolder(store, place, path, sizes, whole=True)


def _size(info: dict[str, Any]) -> int | None:
    size = info.get("size")
    return size if is_length(size) else None


def _store(text: str, place: str) -> tuple[Store, str]:
    fsspec = require("fsspec", "remote")
    # Before 2024.3 it is not in the package's own namespace.
    url_to_fs = require("fsspec.core", "remote").url_to_fs
    protocol = text.partition("://")[0].lower()
    if protocol not in {*fsspec.available_protocols()}:
        raise CheckpointError(place, f"{protocol}:// is no protocol that fsspec knows")
    try:
        fs, path = within(patience(0), partial(url_to_fs, text))
    except ImportError:
        registry = require("fsspec.registry", "remote")
        package = registry.known_implementations[protocol]["class"].partition(".")[0]
        raise CheckpointError(
            place, f"{protocol}:// needs {package}: run  pip install {package}"
        ) from None
    except Exception as err:  # whatever a store finds wrong with its address or credentials
        reason = without_secrets(first_line(err), text)
        raise CheckpointError(place, f"{type(err).__name__}: {reason}") from None
    return Store(fs, text), path.rstrip("/")
