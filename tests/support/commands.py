"""`prunescope` as a user starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.scripts import environment


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
