"""Which files lie beside one on a web server? Only asking for each can tell."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from urllib.parse import quote, unquote, urlsplit

from prunescope.checkpoint.remote.files import NotThere, Piece, RemoteFile, RemoteFolder
from prunescope.checkpoint.remote.replies import Reply, TransferError
from prunescope.checkpoint.remote.transport import Transport
from prunescope.checkpoint.remote.urls import Url, shown
from prunescope.errors import CheckpointError

_ABSENT = {401, 403, 404, 410}


def locate(text: str) -> tuple[RemoteFolder, str]:
    """The folder and the name of the file at an http or https address.

    Raises:
        CheckpointError: it names no file.
        MissingExtra: requests is not installed.
    """
    try:
        url = Url.parse(text)
    except ValueError as err:
        raise CheckpointError(shown(text), str(err)) from None
    name = unquote(urlsplit(url.text).path.rpartition("/")[2])
    if not name or "/" in name:
        raise CheckpointError(
            shown(text), "names no file: what lies at a web address cannot be listed"
        )
    return WebFolder(url, name), name


class WebFolder(RemoteFolder):
    """The files beside a file that the user named."""

    def __init__(self, url: Url, name: str) -> None:
        """`url` is that of `name`, whose query belongs to it alone."""
        self._base = url.joined(".")
        super().__init__(str(self._base))
        self._named = {name: url}
        self._transport = Transport()

    def names(self) -> list[str]:
        """The name that the user gave: no other can be known."""
        return list(self._named)

    def has(self, name: str) -> bool:
        """Whether the server shows a file `name`; asked once."""
        file = self.file(name)
        assert isinstance(file, RemoteFile)
        return file.exists()

    def missing(self, names: Iterable[str]) -> str | None:  # noqa: ARG002
        """None: whoever reads a file that is missing hears why, and many are read at a time."""
        return None

    def total_bytes(self) -> int | None:
        """None: the folder cannot be listed."""
        return None

    def close(self) -> None:
        """Let go of idle connections."""
        self._transport.close()

    @property
    def traffic(self) -> tuple[int, int]:
        """Requests sent and bytes received so far."""
        return self._transport.requests, self._transport.received

    def _make(self, name: str) -> RemoteFile:
        url = self._named.get(name) or self._base.joined(quote(name))
        return RemoteFile(name.rpartition("/")[2], str(url), WebSource(self._transport, url).fetch)


class WebSource:
    """One file's bytes by http; where its address redirects to is remembered."""

    def __init__(self, transport: Transport, url: Url) -> None:
        self._transport = transport
        self._url = url
        self._answering: Url | None = None
        self._lock = Lock()

    def fetch(self, offset: int, length: int, known: int) -> Piece:
        """A piece of the file.

        Raises:
            TransferError: it cannot be had.
        """
        with self._lock:
            reply = self._transport.get(self._answering or self._url, offset, length, known)
            if reply.status >= 400 and self._answering not in (None, self._url):
                # A content network's address is signed, and its signature expires.
                reply = self._transport.get(self._url, offset, length, known)
            self._answering = reply.url
        if reply.status == 416 and reply.total == 0:
            return Piece(0, b"", 0)
        if reply.status not in (200, 206):
            raise self.explain(reply)
        if reply.headers.get("Content-Type", "").startswith("text/html"):
            raise NotThere("is a web page, not a file: for a model of a hub, name hf://org/model")
        if reply.total is None:
            raise TransferError("the server does not say how long the file is: download it")
        return Piece(reply.start, reply.data, reply.total, reply.status == 206)

    def explain(self, reply: Reply) -> TransferError:
        """What an answer without the file means for the user."""
        return refusal(reply.status)


def refusal(status: int) -> TransferError:
    """What an answer without the file means, wherever it comes from."""
    if status in (401, 403):
        cause = (
            f"access denied (HTTP {status}): for a model of a hub, name hf://org/model and "
            "set HF_TOKEN"
        )
    elif status in (404, 410):
        cause = f"no such file (HTTP {status})"
    elif status == 429:
        cause = "too many requests (HTTP 429): try again later"
    elif status >= 500:
        cause = f"the server fails (HTTP {status}): try again later"
    else:
        cause = f"cannot be fetched (HTTP {status})"
    return NotThere(cause) if status in _ABSENT else TransferError(cause)
