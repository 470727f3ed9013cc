"""Whatever a web server does: one line that names the file, in bounded time and bytes."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.remote.files import RemoteFolder
from prunescope.errors import CheckpointError
from tests.support.web import FolderHandler, Site, serve

NAME = "model.safetensors"


def refused(address: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(address)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(address.partition("?")[0])
    return message


def answering(answer: Callable[[FolderHandler], None]) -> type[FolderHandler]:
    class Case(FolderHandler):
        def answer(self, name: str) -> None:
            if name.endswith(NAME):
                answer(self)
            else:
                super().answer(name)

    return Case


def short_body(handler: FolderHandler) -> None:
    handler.start(206, {"Content-Length": "100", "Content-Range": "bytes 0-99/100"})
    handler.send(bytes(40))
    handler.close_connection = True


def short_body_of_a_whole_file(handler: FolderHandler) -> None:
    handler.start(200, {"Content-Length": "100"})
    handler.send(bytes(40))
    handler.close_connection = True


def length_below_the_range(handler: FolderHandler) -> None:
    handler.start(206, {"Content-Length": "40", "Content-Range": "bytes 0-99/100"})
    handler.send(bytes(100))


def other_range(handler: FolderHandler) -> None:
    handler.start(206, {"Content-Length": "100", "Content-Range": "bytes 50-149/150"})
    handler.send(bytes(100))


def no_range_named(handler: FolderHandler) -> None:
    handler.send_text(206, "abc")


def truncated_chunks(handler: FolderHandler) -> None:
    handler.start(200, {"Transfer-Encoding": "chunked"})
    handler.send(b"100\r\nabc")
    handler.close_connection = True


def compressed(handler: FolderHandler) -> None:
    handler.send_text(200, "abc", Content_Encoding="gzip")


def web_page(handler: FolderHandler) -> None:
    handler.send_text(200, "<html>", Content_Type="text/html; charset=utf-8")


def no_http(handler: FolderHandler) -> None:
    handler.wfile.write(b"220 ready for mail\r\n\r\n")
    handler.close_connection = True


def hangs_up(handler: FolderHandler) -> None:
    handler.close_connection = True


def many_headers(handler: FolderHandler) -> None:
    handler.start(200, {f"X-{n}": "x" for n in range(500)})


def status(code: int, **headers: str) -> Callable[[FolderHandler], None]:
    return lambda handler: handler.send_text(code, "", **headers)


CASES: dict[str, tuple[Callable[[FolderHandler], None], str]] = {
    "short body": (short_body, "ended after 40 of 100 bytes"),
    "short body of a whole file": (short_body_of_a_whole_file, "ended after 40 of 100 bytes"),
    "length below the range": (length_below_the_range, "ended after 40 of 100 bytes"),
    "other range": (other_range, "other bytes than it was asked for"),
    "no range named": (no_range_named, "without saying which"),
    "truncated chunks": (truncated_chunks, "ended inside the answer"),
    "compressed": (compressed, "is sent compressed"),
    "web page": (web_page, "is a web page, not a file"),
    "no http": (no_http, "is no HTTP"),
    "hangs up": (hangs_up, "is no HTTP|cannot be fetched"),
    "many headers": (many_headers, "is no HTTP"),
    "404": (status(404), "no such file .HTTP 404"),
    "401": (status(401), "access denied .HTTP 401.*HF_TOKEN"),
    "403": (status(403), "access denied .HTTP 403"),
    "416": (status(416), "cannot be fetched .HTTP 416"),
    "empty": (status(416, Content_Range="bytes */0"), "is an empty file"),
    "429": (status(429, Retry_After="0"), "too many requests"),
    "500": (status(500), "the server fails .HTTP 500"),
    "503": (status(503, Retry_After="0"), "the server fails .HTTP 503"),
    "redirect to itself": (status(302, Location=f"/{NAME}"), "more than 10 redirects"),
    "redirect to a file": (status(302, Location="file:///etc/passwd"), "neither http nor https"),
    "redirect to ftp": (status(302, Location="ftp://127.0.0.1/x"), "neither http nor https"),
    "redirect to no host": (status(302, Location="http://:80/x"), "without a host"),
    "redirect to no port": (status(302, Location="http://127.0.0.1:x/"), "no valid URL"),
    "redirect nowhere": (status(302), "cannot be fetched .HTTP 302"),
}


@pytest.mark.parametrize(("answer", "cause"), CASES.values(), ids=CASES)
def test_a_wrong_answer_is_named(
    root: Path, answer: Callable[[FolderHandler], None], cause: str
) -> None:
    with serve(answering(answer), root) as site:
        message = refused(f"{site.url}/{NAME}")

    assert re.search(cause, message), message
    assert site.sent < 32 << 20


def test_an_answer_that_comes_with_the_second_request_is_taken(root: Path) -> None:
    class Busy(FolderHandler):
        def answer(self, name: str) -> None:
            if [one.path for one in self.site.asked].count(self.path) == 1:
                self.send_text(503, "", Retry_After="0")
            else:
                super().answer(name)

    with serve(Busy, root) as site:
        opened = open_checkpoint(f"{site.url}/small/{NAME}")
        assert opened.config["model_type"] == "llama"
        assert isinstance(opened.home, RemoteFolder)
        # Twice for the weights, twice for the config.
        assert opened.home.traffic == (4, site.sent)
        assert len(site.asked) == 4


def test_a_file_that_changes_while_it_is_read_is_named(root: Path) -> None:
    def growing(handler: FolderHandler) -> None:
        first = handler.headers["Range"] == "bytes=0-65535"
        begin, end = map(int, handler.headers["Range"].removeprefix("bytes=").split("-"))
        total = 200_008 if first else 200_009
        handler.start(206, {
            "Content-Length": str(min(end + 1, total) - begin),
            "Content-Range": f"bytes {begin}-{min(end + 1, total) - 1}/{total}",
        })  # fmt: skip
        head = (200_000).to_bytes(8, "little") + b"{"
        handler.send((head + b" " * 200_009)[begin : min(end + 1, total)])

    with serve(answering(growing), root) as site:
        assert "200009 bytes, not 200008 as before" in refused(f"{site.url}/{NAME}")


@pytest.mark.parametrize("name", ["../x.safetensors", "/x", "..\\x", "http://127.0.0.1:9/x/../y"])
def test_a_remote_index_names_files_inside_its_folder(root: Path, site: Site, name: str) -> None:
    (root / "a.index.json").write_text(json.dumps({"weight_map": {"w": name}}))

    with pytest.raises(CheckpointError, match="leads out of the folder"):
        open_checkpoint(f"{site.url}/a.index.json")

    assert [one.path for one in site.asked] == ["/a.index.json"]


def test_the_first_shard_that_fails_is_named_however_late_it_fails(root: Path) -> None:
    class LateFirst(FolderHandler):
        def answer(self, name: str) -> None:
            if name == "a.safetensors":
                time.sleep(0.3)
            super().answer(name)

    places = {"w": "a.safetensors", "x": "b.safetensors", "y": "c.safetensors"}
    (root / "a.index.json").write_text(json.dumps({"weight_map": places}))
    with serve(LateFirst, root) as site, pytest.raises(CheckpointError) as caught:
        open_checkpoint(f"{site.url}/a.index.json")

    assert str(caught.value) == f"{site.url}/a.safetensors: no such file (HTTP 404)"


def test_nobody_there_is_named() -> None:
    assert refused(f"http://127.0.0.1:9/{NAME}").endswith("127.0.0.1:9 refuses connections")


def test_an_unknown_host_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    assert "host 'no-such.example' is not known" in refused(f"https://no-such.example/{NAME}")


def test_https_to_a_server_without_tls_is_one_line(site: Site) -> None:
    assert "cannot be fetched" in refused(site.url.replace("http:", "https:") + f"/{NAME}")


@pytest.mark.parametrize(
    "address", ["http://", "http:///x", "http://[::1/x", "http://h:99999/x", "http://127.0.0.1/"]
)
def test_an_address_that_names_no_file_is_refused(address: str) -> None:
    refused(address)
