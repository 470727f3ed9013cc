"""The README's commands run as they stand, one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from prunescope.cli.main import group
from prunescope.cli.run import run
from tests.e2e.conftest import Example
from tests.e2e.test_code_blocks import Block, blocks_of, command_lines
from tests.support.tiny import tiny_folder, tiny_network

# One worker makes the example and looks at it.
pytestmark = pytest.mark.xdist_group("example")
# What makes a command short, and what cannot be run here.
BRIEFLY = {
    "eval": ["--max-tokens=300", "--window=64", "--stride=64", "--context=8", "--new-tokens=2",
             "--repeats=1", "--device=cpu"],
    "recover": ["--max-steps=1", "--cutoff=16", "--batch-size=2", "--micro-batch-size=2",
                "--device=cpu"],
}  # fmt: skip
ELSEWHERE = {
    "demo-model": "tests/interop/test_demo_model.py, and the fixture smollm2",
    "browse": "a terminal: tests/report/test_browser.py",
}


def block_of(heading: str) -> Block:
    return next(block for block in blocks_of("README.md") if block.heading == heading)


def ran(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        run(group, "en", list(words))
    return int(ended.value.code or 0)


def test_the_overview_of_commands_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # The options' defaults prune layers 3 to 30.
    network = tiny_network(num_hidden_layers=32)
    tiny_folder(tmp_path / "MODEL", network)
    torch.save(network.state_dict(), tmp_path / "CHECKPOINT")
    lines = command_lines(block_of("`prunescope`"))
    assert len(lines) == 15
    for program, name, *words in lines:
        assert program == "prunescope"
        if name not in ELSEWHERE:
            code = ran(name, *words, *BRIEFLY.get(name, []))
            assert code == 0, (name, capsys.readouterr().err)
    for written in (
        "table.csv",
        "sparsity.png",
        "report.html",
        "models/converted",
        "models/recovered",
    ):
        assert (tmp_path / written).exists()


def test_the_report_is_written(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(example.folder)
    ((_, *words),) = command_lines(block_of("`prunescope report`"))
    assert ran(*words) == 0
    page = example.folder / "report.html"
    assert page.stat().st_size > 100_000
    page.unlink()
