"""A missing optional dependency ends in one line that says what to install."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from prunescope.errors import MissingExtra
from prunescope.extras import require


def test_returns_the_module() -> None:
    assert require("json", "demo") is json
    assert require("os.path", "demo").join("a", "b") == str(Path("a") / "b")


@pytest.mark.parametrize("module", ["no_such_module", "no_such_module.inside"])
def test_a_missing_module_names_package_and_extra(module: str) -> None:
    with pytest.raises(MissingExtra) as caught:
        require(module, "demo")
    assert str(caught.value) == (
        "no_such_module is not installed: run  pip install 'prunescope[demo]'"
    )


def test_a_module_that_lacks_its_own_dependency_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "halfway_there.py").write_text("import no_such_module")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        require("halfway_there", "demo")
    assert "halfway_there" not in sys.modules


def test_a_module_that_lacks_what_newer_ones_have_is_too_old() -> None:
    assert require("json", "demo", "dumps") is json
    with pytest.raises(MissingExtra) as caught:
        require("json", "demo", "no_such_function")
    assert str(caught.value) == "json is too old: run  pip install 'prunescope[demo]'"


def test_a_module_blocked_by_none_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingExtra, match="gguf is not installed"):
        require("gguf", "demo")
