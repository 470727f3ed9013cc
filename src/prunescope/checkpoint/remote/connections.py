"""Which connection carries a request? One kept alive if there is one, through the user's proxy."""

from __future__ import annotations

import base64
import ssl
from http.client import HTTPConnection, HTTPSConnection
from threading import Lock
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from prunescope.checkpoint.remote.urls import Url


class Connections:
    """Connections that have answered, by origin; safe to use from many threads."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, str, int], list[HTTPConnection]] = {}
        self._lock = Lock()
        self._tls: ssl.SSLContext | None = None

    def take(self, url: Url, seconds: float) -> tuple[HTTPConnection, bool]:
        """A connection for `url`, and whether it has been used before.

        Args:
            seconds: how long a new one may stay silent.
        """
        with self._lock:
            idle = self._idle.get(url.origin)
            if idle:
                return idle.pop(), True
        return self._new(url, seconds), False

    def give_back(self, url: Url, connection: HTTPConnection) -> None:
        """Keep a connection whose answer has been read to its end."""
        with self._lock:
            self._idle.setdefault(url.origin, []).append(connection)

    def close(self) -> None:
        """Close what is idle; later requests make new connections."""
        with self._lock:
            for idle in self._idle.values():
                for connection in idle:
                    connection.close()
            self._idle.clear()

    def _new(self, url: Url, seconds: float) -> HTTPConnection:
        proxy = proxy_of(url)
        if url.scheme == "http":
            host, port = proxy[:2] if proxy else (url.host, url.port)
            return HTTPConnection(host, port, timeout=seconds)
        with self._lock:
            # Reading the system's certificates takes longer than a connection.
            self._tls = self._tls or ssl.create_default_context()
        if proxy is None:
            return HTTPSConnection(url.host, url.port, timeout=seconds, context=self._tls)
        host, port, headers = proxy
        connection = HTTPSConnection(host, port, timeout=seconds, context=self._tls)
        connection.set_tunnel(url.host, url.port, headers)
        return connection


def proxy_of(url: Url) -> tuple[str, int, dict[str, str]] | None:
    """Host, port and headers of the proxy that the environment names for `url`.

    Raises:
        ValueError: it is of a kind that is not supported.
    """
    address = getproxies().get(url.scheme)
    if not address or proxy_bypass(url.host):
        return None
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"{url.scheme}_proxy is no http:// proxy")
    headers = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    return parts.hostname, parts.port or 80, headers
