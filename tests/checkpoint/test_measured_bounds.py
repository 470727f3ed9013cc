"""The worst files of every format take less than 512 MiB and 10 s, and end in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import worst, worst_torch
from tests.support.measured import Measured, measured
from tests.support.worst import Writer

OPEN = """
import sys
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import CheckpointError
try:
    outcome = f"{len(open_checkpoint(sys.argv[1]).tensors)} tensors"
except CheckpointError as err:
    outcome = str(err)
"""
SCAN = """
import contextlib, io, sys
from prunescope.cli.main import main
sys.argv = ["prunescope", "scan", sys.argv[1]]
with contextlib.redirect_stdout(io.StringIO()):
    try:
        outcome = f"exit {main()}"
    except SystemExit as end:
        outcome = f"exit {end.code}"
"""
OPENED = {
    f"{kind}: {case}": write
    for kind, cases in {
        "safetensors": worst.HEADERS,
        "index": worst.INDEXES,
        "GGUF": worst.GGUF,
        "torch": worst_torch.ARCHIVES,
        "distributed": worst_torch.DISTRIBUTED,
    }.items()
    for case, write in cases.items()
}
READ = {
    "safetensors: tensors up to the bound",
    "GGUF: 100,000 tensors",
    "torch: records up to the bound",
    "torch: records of long names",
    "torch: 140,000 names",
    "torch: a wrapper 140,000 times",
    "distributed: 20,000 pieces",
    "distributed: a long note of pieces",
}
IN_ARCHIVES = ("records up to the bound", "records of long names")
SCANNED = worst_torch.PICKLES | {case: worst_torch.ARCHIVES[case] for case in IN_ARCHIVES}


def check_bounds(found: Measured) -> None:
    assert found.peak < 512, found
    assert found.seconds < 10, found


@pytest.mark.parametrize("case", OPENED)
def test_opening_the_worst_file(tmp_path: Path, case: str) -> None:
    write: Writer = OPENED[case]

    found = measured(OPEN, write(tmp_path))

    check_bounds(found)
    assert (re.fullmatch(r"\d+ tensors", found.outcome) is not None) == (case in READ), (
        found.outcome
    )
    assert len(found.outcome) < 1000


@pytest.mark.parametrize("case", SCANNED)
def test_scanning_the_worst_file(tmp_path: Path, case: str) -> None:
    found = measured(SCAN, SCANNED[case](tmp_path))

    check_bounds(found)
    assert found.outcome in ("exit 0", "exit 2")


def test_an_honest_model_of_deepseeks_shape_is_far_from_the_bounds(tmp_path: Path) -> None:
    found = measured(OPEN, worst.deepseek(tmp_path))

    check_bounds(found)
    assert found.outcome == "91000 tensors"
