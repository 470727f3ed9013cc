"""`prunescope browse` without a terminal; `tests/report/test_browser.py` drives the rest."""

from __future__ import annotations

from pathlib import Path

from tests.support.commands import prunescope
from tests.support.sparse import SMOLLM2, llama_shapes, write_model


def test_without_a_terminal_it_says_so_and_does_not_wait_for_keys(tmp_path: Path) -> None:
    write_model(tmp_path / "m", SMOLLM2, llama_shapes(SMOLLM2))

    done = prunescope("browse", "m", "--lang", "en", cwd=tmp_path)

    assert done.stderr == "error: browse needs a terminal; analyze, size and report do not\n"
    assert (done.stdout, done.returncode) == ("", 2)
