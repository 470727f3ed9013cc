"""No server costs more time than the user allows, or more bytes than a header has."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkpoint.remote.test_web_hostile import NAME, answering, refused
from tests.support.web import FolderHandler, WithoutRanges, serve

GIGABYTES = 64 << 30


def endless(handler: FolderHandler) -> None:
    handler.start(200, {"Connection": "close"})
    while True:
        handler.send(bytes(1 << 16))


def endless_chunks(handler: FolderHandler) -> None:
    handler.start(200, {"Transfer-Encoding": "chunked"})
    while True:
        handler.send(b"10000\r\n" + bytes(1 << 16) + b"\r\n")


def endless_redirect(handler: FolderHandler) -> None:
    handler.start(302, {"Location": "/none", "Connection": "close"})
    while True:
        handler.send(bytes(1 << 16))


def endless_refusal(handler: FolderHandler) -> None:
    handler.start(503, {"Connection": "close"})
    while True:
        handler.send(bytes(1 << 16))


ENDLESS: dict[str, tuple[Callable[[FolderHandler], None], str]] = {
    "endless": (endless, "does not say how long the file is"),
    "endless chunks": (endless_chunks, "does not say how long the file is"),
    "endless redirect": (endless_redirect, "no such file .HTTP 404"),
    "endless refusal": (endless_refusal, "the server fails .HTTP 503"),
}


@pytest.mark.parametrize(("answer", "cause"), ENDLESS.values(), ids=ENDLESS)
def test_an_endless_answer_is_left(
    root: Path, answer: Callable[[FolderHandler], None], cause: str
) -> None:
    with serve(answering(answer), root) as site:
        message = refused(f"{site.url}/{NAME}")

    assert re.search(cause, message), message
    assert site.sent < 32 << 20


@pytest.mark.parametrize("part", ["silence", "headers", "body"])
def test_a_server_that_drips_is_left(
    root: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setenv("PRUNESCOPE_TIMEOUT", "0.3")

    def drip(handler: FolderHandler) -> None:
        if part == "silence":
            time.sleep(30)
        if part == "headers":
            handler.drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 600, 0.05)
        handler.start(200, {"Content-Length": "60000"})
        handler.drip(bytes(600), 0.05)

    with serve(answering(drip), root) as site:
        started = time.monotonic()
        message = refused(f"{site.url}/{NAME}")
        taken = time.monotonic() - started

    assert "has not answered within 1 s" in message
    # The bytes above take 30 seconds.
    assert taken < 15


def test_a_body_of_gigabytes_is_not_read(root: Path) -> None:
    with (root / NAME).open("wb") as stream:
        stream.write((GIGABYTES - 8).to_bytes(8, "little") + b"{")
        stream.truncate(GIGABYTES)

    with serve(WithoutRanges, root) as site:
        assert "over 100 MB" in refused(f"{site.url}/{NAME}")

    assert site.sent < 20 << 20
