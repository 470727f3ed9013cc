"""Another process, in which there is no prunescope: where a user's engine loads what was saved."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_NO_PRUNESCOPE = """
import sys

class Refuse:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] == "prunescope":
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Refuse())
"""


def run_elsewhere(
    script: str, *arguments: str | Path, home: Path, python: str | Path = sys.executable
) -> str:
    """What `script` prints, run by an isolated interpreter (`python -I`) with `arguments`.

    Args:
        home: where transformers may keep copies of the code that a model brings.
        python: the interpreter, of this environment if not of another.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment |= {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(python), "-I", "-c", _NO_PRUNESCOPE + script, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=home,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
