"""`prunescope` as a user starts it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from prunescope.cli.run import run
from prunescope.report.messages import Language, Messages
from tests.support.scripts import environment


def called(
    build: Callable[[Messages], click.Command],
    capsys: pytest.CaptureFixture[str],
    *arguments: str,
    language: Language = "en",
) -> tuple[int, str, str]:
    """Exit code, output and errors of one command, run in this process."""
    with pytest.raises(SystemExit) as ended:
        run(build, language, list(arguments))
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def prunescope(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in another process."""
    return subprocess.run(
        [sys.executable, "-m", "prunescope", *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
