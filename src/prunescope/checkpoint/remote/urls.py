"""Where does a URL lead, and what of it may be shown? Passwords and signatures may not."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from prunescope.extras import require

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Url:
    """An http or https address. `str()` of it is safe to show.

    Attributes:
        text: as requests writes it, with the query, without `user:password@` and fragment.
        login: user and password.
    """

    text: str = field(repr=False)
    login: tuple[bytes, bytes] | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str, base: str = "") -> Url:
        """The address `text`, which may be relative to `base`.

        Raises:
            ValueError: its message does not repeat `text`.
            MissingExtra: requests is not installed.
        """
        requests = require("requests", "remote")
        try:
            text = urljoin(base, text)
            parts = urlsplit(text)
            whole = None
            if parts.scheme in _PORTS and parts.hostname and parts.port != 0:
                whole = requests.Request("GET", text).prepare().url
        except ValueError:
            raise ValueError("is no valid URL") from None
        if parts.scheme not in _PORTS:
            raise ValueError(f"leads to {parts.scheme or 'no'}://, which is neither http nor https")
        if whole is None:
            raise ValueError("is a URL without a host")
        login = None
        if parts.username is not None:
            login = unquote_to_bytes(parts.username), unquote_to_bytes(parts.password or "")
        return cls(requests.utils.urldefragauth(whole), login)

    def joined(self, location: str) -> Url:
        """Where a redirect or a link from here leads; raises ValueError as `parse`."""
        there = Url.parse(location, self.text)
        if there.origin != self.origin or there.login:
            return there
        return replace(there, login=self.login)

    @property
    def origin(self) -> tuple[str, str, int]:
        """What a secret may be sent to: scheme, host and port."""
        parts = urlsplit(self.text)
        return parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme]

    @property
    def host(self) -> str:
        """Whom an error names: the machine, with the port that the URL has."""
        return urlsplit(self.text).netloc

    def __str__(self) -> str:
        return self.text.partition("?")[0]


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
