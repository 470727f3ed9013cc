"""How are some bytes of a web address fetched, whatever its server does?

By requests, never longer than `patience` allows, by http and https alone, and a secret goes to no
other origin than the one it was given for.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from http.client import HTTPException, IncompleteRead
from threading import Lock
from time import monotonic

from prunescope import __version__
from prunescope.checkpoint.remote.replies import Reply, TransferError, Wanted, read_reply
from prunescope.checkpoint.remote.urls import Url
from prunescope.checkpoint.remote.waiting import WORKERS, patience, timeout, within
from prunescope.errors import first_line
from prunescope.extras import require

MAX_REDIRECTS = 10
_PASSING = (429, 502, 503, 504)
_MAX_PAUSE = 5


class Transport:
    """Requests to any host, headers for one origin alone, and the count of both.

    Attributes:
        requests: sent so far, redirects included.
        received: bytes of bodies so far.
    """

    def __init__(self, origin: Url | None = None, headers: Mapping[str, str] | None = None) -> None:
        """`headers`, which may be secret, are sent to `origin`'s scheme, host and port alone.

        Raises:
            MissingExtra: requests is not installed.
        """
        requests = require("requests", "remote")
        # A connection that fails is tried again by urllib3. Whether the server's answer asks for
        # it is seen here: urllib3 would read all of that answer, however long it is.
        self._retry = require("urllib3.util", "remote").Retry(
            1, respect_retry_after_header=False, retry_after_max=_MAX_PAUSE
        )
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            adapter = requests.adapters.HTTPAdapter(pool_maxsize=WORKERS, max_retries=self._retry)
            self._session.mount(scheme, adapter)
        agent = {"User-Agent": f"prunescope/{__version__}", "Accept-Encoding": "identity"}
        self._session.headers.update(agent)
        # The environment's proxies are wanted, its passwords (~/.netrc) are not.
        self._session.auth = lambda request: request
        # Even where it does not follow a redirect, requests would read all of its body.
        self._redirect_of = self._session.get_redirect_target
        self._session.get_redirect_target = lambda _: None
        self._origin = origin.origin if origin else None
        self._headers = headers or {}
        self._lock = Lock()
        self.requests = 0
        self.received = 0

    def close(self) -> None:
        """Let go of idle connections; later requests make new ones."""
        self._session.close()

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
        return self._within(seconds, url, Wanted(start, length, known, monotonic() + seconds))

    def get_whole(self, url: Url, limit: int) -> Reply:
        """All that is at `url`, which is no file, within the time that a server has to answer.

        Raises:
            TransferError: no answer, not in time, or over `limit` bytes.
        """
        seconds = timeout()
        wanted = Wanted(0, limit + 1, 0, monotonic() + seconds, is_part=False)
        reply = self._within(seconds, url, wanted)
        if len(reply.data) > limit:
            raise TransferError(f"{url.host} sends over {limit >> 20} MiB for an answer")
        return reply

    def _within(self, seconds: float, url: Url, wanted: Wanted) -> Reply:
        try:
            return within(seconds, lambda: self._fetch(url, wanted))
        except TransferError:
            raise
        except Exception as err:  # requests lets some of urllib3's and http.client's through
            raise TransferError(failure(err, url, seconds)) from None

    def _fetch(self, url: Url, wanted: Wanted) -> Reply:
        again = True
        # requests' own loop would take the user's password and token along.
        for _ in range(MAX_REDIRECTS + 1):
            last = wanted.start + wanted.length - 1
            headers = {"Range": f"bytes={wanted.start}-{last}"} if wanted.is_part else {}
            if url.origin == self._origin:
                headers |= self._headers
            self._count(requests=1)
            with self._session.get(
                url.text, headers=headers, auth=url.login, timeout=timeout(), stream=True,
                allow_redirects=False,
            ) as response:  # fmt: skip
                self._count(requests=len(response.raw.retries.history))
                if again and response.status_code in _PASSING:
                    again = False
                    self._retry.sleep_for_retry(response.raw)
                    continue
                reply = read_reply(response, url, wanted, self._count)
                location = self._redirect_of(response)
            if not location:
                return reply
            try:
                url = url.joined(location)
            except ValueError as err:
                raise TransferError(f"cannot be fetched ({err})") from None
        raise TransferError(f"more than {MAX_REDIRECTS} redirects")

    def _count(self, received: int = 0, requests: int = 0) -> None:
        with self._lock:
            self.received += received
            self.requests += requests


def failure(err: BaseException, url: Url, seconds: float) -> str:
    """What a library's error on the way to `url` means, from the innermost error in it.

    The libraries' own messages have addresses, and these may have secrets.
    """
    while inner := _inside(err):
        err = inner
    match err:
        case TimeoutError():
            return (
                f"{url.host} has not answered within {seconds:.0f} s: try again, or set "
                "PRUNESCOPE_TIMEOUT to more seconds"
            )
        case socket.gaierror():
            return f"host {url.host!r} is not known: check the name and the network"
        case ConnectionRefusedError():
            return f"{url.host} refuses connections"
        case ssl.SSLCertVerificationError():
            reason = err.verify_message or "unknown reason"
            return f"the certificate of {url.host} is not valid ({reason})"
        case IncompleteRead(partial=int(came), expected=int(missing)):
            return f"the connection ended after {came} of {came + missing} bytes"
        case IncompleteRead():
            return "the connection ended inside the answer"
        case HTTPException():
            return f"the answer is no HTTP ({type(err).__name__})"
        case OSError():
            return f"cannot be fetched ({err.strerror or first_line(err)})"
    return f"cannot be fetched ({type(err).__name__})"


def _inside(err: BaseException) -> BaseException | None:
    if err.__cause__ or (err.__context__ and not err.__suppress_context__):
        return err.__cause__ or err.__context__
    # urllib3 wraps http.client's errors so.
    return next((part for part in err.args if isinstance(part, BaseException)), None)
