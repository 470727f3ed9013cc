"""One run of `example_analysis.sh`, which the tests of this folder look at."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.scripts import ROOT, environment

SCRIPTS = ("example_analysis.sh", "llama3.py", "check_model_size.py", "analyze_pruning.py")


@dataclass(frozen=True)
class Example:
    """A working folder with the scripts, and what the first run printed in it."""

    folder: Path
    first: subprocess.CompletedProcess[str]

    def run(self, **changes: str) -> subprocess.CompletedProcess[str]:
        return run_example(self.folder, **changes)


def run_example(folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """`./example_analysis.sh` in `folder`."""
    return subprocess.run(
        ["./example_analysis.sh"],
        cwd=folder,
        env=environment(**changes),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def scripts_in(folder: Path) -> Path:
    """`folder` with the scripts and the environment that these tests run in."""
    for name in SCRIPTS:
        shutil.copy2(ROOT / name, folder / name)
    shutil.copytree(ROOT / "examples", folder / "examples")
    (folder / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    return folder


@pytest.fixture(scope="session")
def example(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Example:
    folder = scripts_in(tmp_path_factory.mktemp("example"))
    (folder / "models").mkdir()
    (folder / "models" / smollm2.name).symlink_to(smollm2, target_is_directory=True)
    return Example(folder, run_example(folder))
