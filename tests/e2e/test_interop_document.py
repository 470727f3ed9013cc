"""The blocks of docs/INTEROP.md do what they say, one after the other, on a tiny model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from prunescope.cli.main import group
from prunescope.cli.run import run
from tests.support.tiny import tiny_folder

TEXT = (Path(__file__).parents[2] / "docs" / "INTEROP.md").read_text("utf-8")
TOKENS = torch.arange(3, 63, 2)[None]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def logits(code: str) -> torch.Tensor:
    names: dict[str, Any] = {}
    exec(code, names)
    with torch.no_grad():
        return names["model"](TOKENS).logits


def test_every_command_runs_and_every_loader_computes_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # The options' defaults prune layers 3 to 30.
    tiny_folder(tmp_path / "MODEL", num_hidden_layers=32)
    commands = [line.split() for block in blocks("bash") for line in block.splitlines()]
    assert len(commands) == 8
    for program, *arguments in commands:
        assert program == "prunescope"
        with pytest.raises(SystemExit) as ended:
            run(group, "en", arguments)
        assert ended.value.code in (0, None)
    stock, *others = blocks("python")
    assert len(others) == 3
    # Where all layers agree, as they do when they are padded.
    found = [logits(stock.replace("pruned", "padded")), *map(logits, others)]
    for theirs in found[1:]:
        torch.testing.assert_close(theirs, found[0])
