"""Where does a URL lead, and what of it may be shown? Passwords and signatures may not.

Syntax: RFC 3986 (https://www.rfc-editor.org/rfc/rfc3986).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote, urljoin, urlsplit

_PORTS = {"http": 80, "https": 443}
# What a path or query may hold as it is; "%" because it is already quoted.
_KEPT = "/%:@!$&'()*+,;=~?-._"


@dataclass(frozen=True, slots=True)
class Url:
    """An http or https address. `str()` of it is safe to show.

    Attributes:
        target: path and query, quoted: what is asked of the host.
        credentials: an `Authorization` value made of `user:password@`; never shown.
    """

    scheme: str
    host: str
    port: int
    target: str
    credentials: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> Url:
        """Raises ValueError, whose message does not repeat `text`."""
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError("is no valid URL") from None
        scheme = parts.scheme.lower()
        if scheme not in _PORTS:
            raise ValueError(f"leads to {scheme or 'no'}://, which is neither http nor https")
        if not host or not host.isprintable() or " " in host:
            raise ValueError("is a URL without a host")
        target = quote(parts.path or "/", safe=_KEPT)
        if parts.query:
            target += "?" + quote(parts.query, safe=_KEPT)
        credentials = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            credentials = "Basic " + base64.b64encode(pair.encode()).decode()
        return cls(scheme, host, port or _PORTS[scheme], target, credentials)

    def joined(self, location: str) -> Url:
        """Where a redirect from here leads; raises ValueError as `parse`."""
        there = Url.parse(urljoin(f"{self.scheme}://{self.authority}{self.target}", location))
        if there.origin != self.origin or there.credentials:
            return there
        return replace(there, credentials=self.credentials)

    @property
    def origin(self) -> tuple[str, str, int]:
        """What a secret may be sent to: scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Host and port as a URL writes them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target.partition('?')[0]}"


def shown(text: str) -> str:
    """`text`, a URL of any scheme, without `user:password@`, query and fragment."""
    scheme, mark, rest = text.partition("://")
    if not mark:
        return text
    authority, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def without_secrets(message: str, text: str) -> str:
    """A foreign library's `message`, should it repeat the credentials in the address `text`."""
    authority = text.partition("://")[2].partition("/")[0]
    login, at, _ = authority.rpartition("@")
    secrets = [part for part in (login, login.partition(":")[2]) if at and part]
    for secret in (*secrets, *re.split(r"[?#]", text, maxsplit=1)[1:]):
        message = message.replace(secret, "…") if secret else message
    return message
