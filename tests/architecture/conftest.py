"""Folders of tiny models of every family, each written once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Name of a model in `tests.support.families` → the folder that save_pretrained wrote."""

    @cache
    def make(name: str) -> Path:
        # Here, for it imports torch, which most tests of this folder do without.
        from tests.support.families import family_folder

        return family_folder(name, tmp_path_factory.mktemp("family"))

    return make
