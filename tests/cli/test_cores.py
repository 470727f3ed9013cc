"""Where a command has a thread on every core, BLAS starts none unless the user says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.scripts import environment
from tests.support.tiny import tiny_folder

# What the command leaves: its modules, and what BLAS was told before numpy was imported.
SCRIPT = """
import os, sys
from prunescope.cli.main import main
try:
    main()
except SystemExit:
    unwanted = {"numpy.ma", "numpy.random", "torch", "scipy"} & sys.modules.keys()
    print(os.environ["OPENBLAS_NUM_THREADS"], "numpy" in sys.modules, sorted(unwanted))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model"), dtype=torch.bfloat16)


def left_by(*words: str | Path, **changes: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, words), "--quiet"],
        env={k: v for k, v in environment().items() if k != "OPENBLAS_NUM_THREADS"} | changes,
        capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    return done.stdout.splitlines()[-1]


def test_trace_and_sparsity_compute_in_threads_of_their_own(model: Path) -> None:
    assert left_by("sparsity", model) == "1 True []"
    # Nor does trace import what takes longer than to read a small model.
    assert left_by("trace", model, model) == "1 True []"


def test_what_the_user_has_set_stays(model: Path) -> None:
    assert left_by("trace", model, model, OPENBLAS_NUM_THREADS="3") == "3 True []"
