"""What a command takes of memory and of the processor, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

from tests.support.scripts import environment

_AFTER = """
import resource
_usage = resource.getrusage(resource.RUSAGE_SELF)
print("\\n", _usage.ru_maxrss // 1024, _usage.ru_utime + _usage.ru_stime, outcome)
"""


@dataclass(frozen=True)
class Measured:
    """Peak of resident memory in MiB, seconds of the processor, and what the script found."""

    peak: int
    seconds: float
    outcome: str


def measured(script: str, *arguments: object) -> Measured:
    """Run Python `script`, which leaves what it found in the variable `outcome`, on one line.

    Its `sys.argv[1:]` are the `arguments`.
    """
    command = [sys.executable, "-c", script + _AFTER, *map(str, arguments)]
    # Linux lets a process's peak begin at that of whoever starts it: a small shell does here.
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@"; exit $?', "sh", *command],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    peak, seconds, outcome = done.stdout.splitlines()[-1].split(maxsplit=2)
    return Measured(int(peak), float(seconds), outcome)
