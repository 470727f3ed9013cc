"""How are some bytes of a web address fetched, whatever its server does?

Never longer than `patience` allows, by http and https alone, and a secret goes to no other origin
than the one it was given for.
"""

from __future__ import annotations

import re
import socket
import ssl
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from threading import Lock
from time import monotonic, sleep

from prunescope import __version__
from prunescope.checkpoint.remote.connections import Connections, proxy_of
from prunescope.checkpoint.remote.replies import (
    REDIRECTS,
    Reply,
    TransferError,
    Wanted,
    read_reply,
)
from prunescope.checkpoint.remote.urls import Url
from prunescope.checkpoint.remote.waiting import patience, timeout, within
from prunescope.errors import first_line

MAX_REDIRECTS = 10
_PASSING = {429, 502, 503, 504}
_PAUSE = 0.5
_MAX_PAUSE = 5.0


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
        wanted = Wanted(start, length, known, monotonic() + seconds)
        try:
            return within(seconds, lambda: self._fetch(url, wanted))
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

    def _fetch(self, url: Url, wanted: Wanted) -> Reply:
        again = True
        for _ in range(MAX_REDIRECTS + 1):
            reply = self._exchange(url, wanted)
            if reply.status in _PASSING and again:
                again = False
                sleep(_pause(reply))
                reply = self._exchange(url, wanted)
            location = reply.headers.get("Location")
            if reply.status not in REDIRECTS or not location:
                return reply
            url = url.joined(location)
        raise TransferError(f"more than {MAX_REDIRECTS} redirects")

    def _exchange(self, url: Url, wanted: Wanted) -> Reply:
        while True:
            connection, used = self._connections.take(url, timeout())
            with self._lock:
                self.requests += 1
            try:
                response = self._ask(connection, url, wanted)
                break
            except (OSError, HTTPException):
                connection.close()
                # A server may hang up on a connection that it has answered before.
                if not used:
                    raise
        try:
            reply = read_reply(response, url, wanted, self._count)
        except BaseException:
            connection.close()
            raise
        if response.length == 0 or response.isclosed():
            response.close()
            self._connections.give_back(url, connection)
        else:
            connection.close()
        return reply

    def _ask(self, connection: HTTPConnection, url: Url, wanted: Wanted) -> HTTPResponse:
        headers = {
            "Accept-Encoding": "identity",
            "Range": f"bytes={wanted.start}-{wanted.start + wanted.length - 1}",
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

    def _count(self, received: int) -> None:
        with self._lock:
            self.received += received


def _pause(reply: Reply) -> float:
    asked = reply.headers.get("Retry-After") or ""
    return min(float(asked), _MAX_PAUSE) if re.fullmatch(r"\d{1,9}", asked) else _PAUSE
