"""A folder in which `llama3.py` can be called; modules with another `here` have their own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model for `llama3.py`, called tiny."""
    # Here, for it imports torch, which most commands do without.
    from tests.support.prune_command import base_model

    return base_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def here(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a link to the model in it."""
    (tmp_path / model.name).symlink_to(model)
    monkeypatch.chdir(tmp_path)
    return tmp_path
