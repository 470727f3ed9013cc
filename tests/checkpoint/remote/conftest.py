"""Servers on loopback, and a Hugging Face home that is nobody's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from tests.support.hub import Hub, Model, serve_hub
from tests.support.sparse import LlamaShape, llama_shapes, write_model
from tests.support.web import FolderHandler, Site, serve

SMALL = LlamaShape(2, 8, 12, 4, 2, 2, 10, tied=False)


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token, cache or proxy of whoever runs the tests; nothing to wait 30 seconds for."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "http_proxy", "https_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # Once a day huggingface_hub asks the hub for the names of coding agents, to report them.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    # Port 9 discards: whatever a test forgets to serve is refused at once.
    set_endpoint(monkeypatch, "http://127.0.0.1:9")


def set_endpoint(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """What HF_ENDPOINT does before huggingface_hub is imported."""
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder that is served, with a small model in `small`."""
    (tmp_path / "root").mkdir()
    write_model(tmp_path / "root" / "small", SMALL, llama_shapes(SMALL))
    return tmp_path / "root"


@pytest.fixture
def site(root: Path) -> Iterator[Site]:
    """A well-behaved web server."""
    with serve(FolderHandler, root) as site:
        yield site


@pytest.fixture
def hub(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with the model `org/small`."""
    with serve_hub(root) as hub:
        hub.models["org/small"] = Model(root / "small")
        set_endpoint(monkeypatch, hub.site.url)
        yield hub
