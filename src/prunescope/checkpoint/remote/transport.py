"""How are some bytes of a web address fetched, whatever its server does?

Ranges: RFC 9110 §14 (https://www.rfc-editor.org/rfc/rfc9110#name-range-requests). Never more is
read than was asked for, never longer than `patience` allows, and a secret goes to no other origin
than the one it was given for.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from threading import Lock
from time import monotonic, sleep

from prunescope import __version__
from prunescope.checkpoint.remote.connections import Connections, proxy_of
from prunescope.checkpoint.remote.urls import Url
from prunescope.checkpoint.remote.waiting import patience, timeout, within
from prunescope.errors import first_line

MAX_REDIRECTS = 10
# A whole header can be streamed from a server without ranges; readers stop at 100 MB.
MAX_STREAMED = 128 << 20
_BLOCK = 64 << 10
_REDIRECTS = {301, 302, 303, 307, 308}
_PASSING = {429, 502, 503, 504}
_PAUSE = 0.5
_MAX_PAUSE = 5.0
_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,19})")


class TransferError(Exception):
    """Why no answer came, in one line without secrets."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered.

    Attributes:
        url: the address that answered, after redirects.
        start: of `data` in the file; 0 where the server does not send ranges.
        total: length of the file in bytes; None where the server does not say.
    """

    status: int
    headers: Mapping[str, str] | Message
    url: Url
    start: int = 0
    data: bytes = b""
    total: int | None = None


class Transport:
    """Requests to any host, one credential for one origin, and the count of both.

    Attributes:
        requests: sent so far, redirects included.
        received: bytes of bodies so far.
    """

    def __init__(self, origin: Url | None = None, authorization: str | None = None) -> None:
        """`authorization` is sent to `origin`'s scheme, host and port alone."""
        self._secret_of = origin.origin if origin else None
        self._authorization = authorization
        self._connections = Connections()
        self._lock = Lock()
        self.requests = 0
        self.received = 0

    def close(self) -> None:
        """Let go of idle connections."""
        self._connections.close()

    def get(self, url: Url, start: int, length: int, known: int = 0) -> Reply:
        """`length` bytes from `start`, fewer at the end of the file.

        Args:
            known: bytes from the file's start that the caller has. A server without ranges is
                asked for more only where `start` is among them: a header's continuation, but not
                the end of a large file.

        Raises:
            TransferError: no answer, not in time, or not the bytes that were asked for.
        """
        seconds = patience(length)
        fetch = partial(self._fetch, url, start, length, known, monotonic() + seconds)
        try:
            return within(seconds, fetch)
        except TimeoutError:
            raise TransferError(
                f"{url.host} has not answered within {seconds:.0f} s: try again, or set "
                "PRUNESCOPE_TIMEOUT to more seconds"
            ) from None
        except socket.gaierror:
            raise TransferError(
                f"host {url.host!r} is not known: check the name and the network"
            ) from None
        except ConnectionRefusedError:
            raise TransferError(f"{url.authority} refuses connections") from None
        except ssl.SSLCertVerificationError as err:
            reason = err.verify_message or "unknown reason"
            raise TransferError(f"the certificate of {url.host} is not valid ({reason})") from None
        except IncompleteRead:
            raise TransferError("the connection ended inside the answer") from None
        except HTTPException as err:
            raise TransferError(f"the answer is no HTTP ({type(err).__name__})") from None
        except (OSError, ValueError) as err:
            reason = getattr(err, "strerror", None) or first_line(err)
            raise TransferError(f"cannot be fetched ({reason})") from None

    def _fetch(self, url: Url, start: int, length: int, known: int, deadline: float) -> Reply:
        again = True
        for _ in range(MAX_REDIRECTS + 1):
            reply = self._exchange(url, start, length, known, deadline)
            if reply.status in _PASSING and again:
                again = False
                sleep(_pause(reply))
                reply = self._exchange(url, start, length, known, deadline)
            location = reply.headers.get("Location")
            if reply.status not in _REDIRECTS or not location:
                return reply
            url = url.joined(location)
        raise TransferError(f"more than {MAX_REDIRECTS} redirects")

    def _exchange(self, url: Url, start: int, length: int, known: int, deadline: float) -> Reply:
        while True:
            connection, used = self._connections.take(url, timeout())
            with self._lock:
                self.requests += 1
            try:
                response = self._ask(connection, url, start, length)
                break
            except (OSError, HTTPException):
                connection.close()
                # A server may hang up on a connection that it has answered before.
                if not used:
                    raise
        try:
            reply = self._read(response, url, start, length, known, deadline)
        except BaseException:
            connection.close()
            raise
        if response.length == 0 or response.isclosed():
            response.close()
            self._connections.give_back(url, connection)
        else:
            connection.close()
        return reply

    def _ask(self, connection: HTTPConnection, url: Url, start: int, length: int) -> HTTPResponse:
        headers = {
            "Accept-Encoding": "identity",
            "Range": f"bytes={start}-{start + length - 1}",
            "User-Agent": f"prunescope/{__version__}",
        }
        if url.credentials:
            headers["Authorization"] = url.credentials
        elif self._authorization and url.origin == self._secret_of:
            headers["Authorization"] = self._authorization
        target, proxy = url.target, proxy_of(url) if url.scheme == "http" else None
        if proxy:
            target = f"http://{url.authority}{target}"
            headers |= proxy[2]
        connection.request("GET", target, headers=headers)
        return connection.getresponse()

    def _read(
        self,
        response: HTTPResponse,
        url: Url,
        start: int,
        length: int,
        known: int,
        deadline: float,
    ) -> Reply:
        status, headers = response.status, response.headers
        if status not in (200, 206):
            if status in _REDIRECTS:
                # Read to its end, the connection can be used again.
                self._body(response, _BLOCK, deadline)
            beyond = _UNSATISFIED.fullmatch(headers.get("Content-Range", ""))
            return Reply(status, headers, url, total=int(beyond[1]) if beyond else None)
        if headers.get("Content-Encoding", "identity") != "identity":
            raise TransferError("is sent compressed, though asked not to")
        if status == 206:
            return self._part(response, url, start, length, deadline)
        if start > known or start + length > MAX_STREAMED:
            raise TransferError(
                "the server does not send parts of a file (range requests), and bytes far from "
                "its start are needed: download it"
            )
        total = response.length
        wanted = start + length if total is None else min(start + length, total)
        data = self._body(response, wanted, deadline)
        if total is None and len(data) < wanted:
            total = len(data)
        elif len(data) < wanted:
            raise TransferError(f"the connection ended after {len(data)} of {total} bytes")
        return Reply(status, headers, url, 0, data, total)

    def _part(
        self, response: HTTPResponse, url: Url, start: int, length: int, deadline: float
    ) -> Reply:
        found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if not found:
            raise TransferError("the server sends a part of the file without saying which")
        first, last, total = map(int, found.groups())
        if first != start or last + 1 != min(start + length, total):
            raise TransferError("the server sends other bytes than it was asked for")
        data = self._body(response, last + 1 - first, deadline)
        if len(data) < last + 1 - first:
            raise TransferError(
                f"the connection ended after {len(data)} of {last + 1 - first} bytes"
            )
        return Reply(206, response.headers, url, first, data, total)

    def _body(self, response: HTTPResponse, limit: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < limit:
            block = response.read1(min(_BLOCK, limit - len(data)))
            if not block:
                break
            data += block
            with self._lock:
                self.received += len(block)
            if monotonic() > deadline:
                raise TimeoutError
        return bytes(data)


def _pause(reply: Reply) -> float:
    asked = reply.headers.get("Retry-After") or ""
    return min(float(asked), _MAX_PAUSE) if re.fullmatch(r"\d{1,9}", asked) else _PAUSE
