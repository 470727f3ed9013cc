"""A real HTTP server on loopback that serves a folder, and a log of what was asked of it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

_BLOCK = 1 << 16


@dataclass
class Asked:
    """One request: what was asked, and how many bytes of body went out."""

    path: str
    headers: Message
    sent: int = 0


@dataclass
class Site:
    """Where a server answers, and what it was asked, in order."""

    url: str
    asked: list[Asked] = field(default_factory=list)

    @property
    def sent(self) -> int:
        return sum(one.sent for one in self.asked)


class FolderHandler(BaseHTTPRequestHandler):
    """Serves `root` with ranges, as web servers do; cases override what they do otherwise."""

    protocol_version = "HTTP/1.1"
    root: Path
    site: Site
    ranges = True

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        self.asked = Asked(self.path, self.headers)
        self.site.asked.append(self.asked)
        try:
            self.answer(unquote(self.path.partition("?")[0]).lstrip("/"))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def do_HEAD(self) -> None:
        self.do_GET()

    def answer(self, name: str) -> None:
        file = self.root / name
        if file.is_file():
            self.send_file(file)
        else:
            self.send_text(404, "not found")

    def send_text(self, status: int, text: str, **headers: str) -> None:
        self.start(status, {"Content-Length": str(len(text.encode())), **headers})
        self.send(text.encode())

    def send_file(self, file: Path, **headers: str) -> None:
        size = file.stat().st_size
        begin, end = 0, size
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted and self.ranges:
            begin, end = int(wanted[1]), min(size, int(wanted[2] or size) + 1)
            if begin >= size:
                self.send_text(416, "", **{"Content-Range": f"bytes */{size}"})
                return
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
        self.start(206 if wanted and self.ranges else 200, {
            "Content-Length": str(end - begin), **headers,
        })  # fmt: skip
        with file.open("rb") as stream:
            stream.seek(begin)
            while begin < end and self.command != "HEAD":
                block = stream.read(min(_BLOCK, end - begin))
                self.send(block)
                begin += len(block)

    def start(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def send(self, data: bytes) -> None:
        if self.command != "HEAD":
            # Before it is: whoever has got it may look at once.
            self.asked.sent += len(data)
            self.wfile.write(data)

    def drip(self, data: bytes, seconds: float) -> None:
        """A byte at a time."""
        for byte in data:
            self.send(bytes([byte]))
            time.sleep(seconds)


class WithoutRanges(FolderHandler):
    """Sends every file whole, whatever part is asked for."""

    ranges = False


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is no event."""


@contextmanager
def serve(handler: type[FolderHandler], root: Path, **attributes: Any) -> Iterator[Site]:
    """`handler` answering for `root`, in a class of its own that has `attributes`."""
    site = Site("")
    kind = type(handler.__name__, (handler,), {"root": root, "site": site, **attributes})
    server = _Server(("127.0.0.1", 0), kind)
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
