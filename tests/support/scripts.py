"""The root scripts, started as a user starts them: another process in another folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without the settings of whoever runs the tests."""
    unwanted = {"PRUNESCOPE_LANG", "PYTHONIOENCODING", "NO_COLOR", "FORCE_COLOR", "COLUMNS"}
    return {k: v for k, v in os.environ.items() if k not in unwanted} | {
        "PYTHONUTF8": "1",
        **changes,
    }


def run_script(
    name: str, *arguments: str | Path, cwd: Path, python: tuple[str, ...] = (), **changes: str
) -> subprocess.CompletedProcess[str]:
    """Run a script of the repository's root; `changes` go into its environment."""
    return subprocess.run(
        [sys.executable, *python, str(ROOT / name), *map(str, arguments)],
        cwd=cwd,
        env=environment(**changes),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def run_without_reader(name: str, *arguments: str | Path, cwd: Path) -> tuple[int, bytes]:
    """Exit code and standard error of a script whose output nobody reads, as after `| head -1`."""
    return without_reader(str(ROOT / name), *arguments, cwd=cwd)


def without_reader(*arguments: str | Path, cwd: Path) -> tuple[int, bytes]:
    """The same of anything that Python can run."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=cwd,
            env=environment(),
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writing)
    return done.returncode, done.stderr
