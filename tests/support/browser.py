"""A real Chromium without a window, where this machine has one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def chromium() -> Iterator[Any]:
    """Playwright's browser, over the system's own binary; skips where either is missing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    binary = next(filter(None, map(shutil.which, NAMES)), None)
    if binary is None:
        pytest.skip(f"no Chromium here: none of {', '.join(NAMES)} (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        # Its own sandbox needs rights that root in a container has not.
        browser = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Opened:
    """A page from disk, and whatever went wrong in it."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page = browser.new_page(**options)
        self.page.on("console", lambda message: self._console(message.type, message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.errors.append("dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def _console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.errors.append(text)

    def texts(self, selector: str) -> list[str]:
        """The visible text of each match."""
        return [text.strip() for text in self.page.locator(selector).all_inner_texts()]

    def drawn(self, selector: str) -> list[str]:
        """The text of each match inside SVG, which has no inner text."""
        return [text.strip() for text in self.page.locator(selector).all_text_contents()]
