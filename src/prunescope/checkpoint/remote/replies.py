"""Which bytes does a web server's answer really bring? Those asked for, or an error.

Ranges: RFC 9110 §14 (https://www.rfc-editor.org/rfc/rfc9110#name-range-requests).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from prunescope.checkpoint.remote.urls import Url

# A whole header can be streamed from a server without ranges; readers stop at 100 MB.
MAX_STREAMED = 128 << 20
_BLOCK = 64 << 10
_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,19})")


class TransferError(Exception):
    """Why no answer came, in one line without secrets."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which bytes of a file are asked for.

    Attributes:
        start: of the first, in bytes from the start of the file.
        length: how many.
        known: how many of the file's first bytes the caller has.
        deadline: when to give up, as `time.monotonic()` tells.
        is_part: whether it is asked for by a range request, as a part of a file.
    """

    start: int
    length: int
    known: int
    deadline: float
    is_part: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered.

    Attributes:
        url: the address that answered, after redirects.
        start: of `data` in the file; 0 where the server does not send ranges.
        total: length of the file in bytes; None where the server does not say.
    """

    status: int
    headers: Mapping[str, str]
    url: Url
    start: int = 0
    data: bytes = b""
    total: int | None = None


def read_reply(response: Any, url: Url, wanted: Wanted, count: Callable[[int], None]) -> Reply:
    """The answer with its body, of which no more is read than was asked for.

    Args:
        response: requests' own, not read yet.
        count: told how many bytes have come, again and again.

    Raises:
        TransferError: the body is not what was asked for.
        TimeoutError: the deadline has passed.
    """

    def body(limit: int) -> bytes:
        data = bytearray()
        while len(data) < limit:
            # `read` would wait for the whole block.
            block = response.raw.read1(min(_BLOCK, limit - len(data)), decode_content=False)
            if not block:
                break
            data += block
            count(len(block))
            if monotonic() > wanted.deadline:
                raise TimeoutError
        return bytes(data)

    headers, status = response.headers, response.status_code
    if status not in (200, 206):
        if response.is_redirect:
            # Read to its end, the connection can be used again.
            body(_BLOCK)
        beyond = _UNSATISFIED.fullmatch(headers.get("Content-Range", ""))
        return Reply(status, headers, url, total=int(beyond[1]) if beyond else None)
    if headers.get("Content-Encoding", "identity") != "identity":
        raise TransferError("is sent compressed, though asked not to")
    if status == 206:
        first, last, total = _range(headers, wanted)
        return Reply(206, headers, url, first, _whole(body, last + 1 - first), total)
    if wanted.start > wanted.known or wanted.start + wanted.length > MAX_STREAMED:
        raise TransferError(
            "the server does not send parts of a file (range requests), and bytes far from its "
            "start are needed: download it"
        )
    limit, length = wanted.start + wanted.length, response.raw.length_remaining
    if length is not None:
        return Reply(200, headers, url, 0, _whole(body, min(limit, length)), length)
    data = body(limit)
    return Reply(200, headers, url, 0, data, len(data) if len(data) < limit else None)


def _range(headers: Mapping[str, str], wanted: Wanted) -> tuple[int, int, int]:
    """First and last byte of the part, and the length of the file."""
    found = _RANGE.fullmatch(headers.get("Content-Range", ""))
    if not found:
        raise TransferError("the server sends a part of the file without saying which")
    first, last, total = map(int, found.groups())
    if first != wanted.start or last + 1 != min(wanted.start + wanted.length, total):
        raise TransferError("the server sends other bytes than it was asked for")
    return first, last, total


def _whole(body: Callable[[int], bytes], length: int) -> bytes:
    data = body(length)
    if len(data) < length:
        raise TransferError(f"the connection ended after {len(data)} of {length} bytes")
    return data
