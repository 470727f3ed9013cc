"""Who stops a command, by whatever signal, finds nothing half written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.scripts import environment
from tests.support.trees import tree

# A command that is sent a signal while it writes.
COMMAND = """
import signal, sys
from pathlib import Path
import click
from prunescope.atomic import replacing
from prunescope.cli.run import run

def write():
    with replacing(Path("table.csv")) as temporary:
        temporary.write_text("half")
        signal.raise_signal(getattr(signal, sys.argv[1]))
        temporary.write_text("whole")

# Tests may run in the background or under nohup, which have signals ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_IGN if sys.argv[2:] == ["nohup"] else signal.SIG_DFL)
run(lambda say: click.Command("write", callback=write), "en", [])
"""


def stopped(folder: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr.strip()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_that_ends_a_command_ends_it_tidily(tmp_path: Path, name: str) -> None:
    assert stopped(tmp_path, name) == (130, "interrupted")
    assert tree(tmp_path) == {}


def test_under_nohup_a_closed_terminal_ends_nothing(tmp_path: Path) -> None:
    assert stopped(tmp_path, "SIGHUP", "nohup") == (0, "")
    assert tree(tmp_path) == {"table.csv": "whole"}
