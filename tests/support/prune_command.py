"""A small model for `llama3.py`, and the command run in this process, which torch is already in."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunescope.cli.prune import script
from prunescope.cli.run import run
from tests.support.tiny import tiny_folder
from tests.support.trees import contents

# Of 4 KV heads and 20 channels a quarter can go; layers 0 and 5 are left whole, as in the
# mission's command 0..2 and 30, 31 are.
RANGES = (
    "--block_mlp_layer_start", "1", "--block_mlp_layer_end", "5",
    "--block_attention_layer_start", "1", "--block_attention_layer_end", "5",
)  # fmt: skip
ON_CPU = ("--device", "cpu")


def base_model(folder: Path) -> Path:
    return tiny_folder(folder, num_hidden_layers=6, num_attention_heads=8, num_key_value_heads=4)


def call(*arguments: str | Path) -> int:
    """The exit code of `llama3.py` in the current folder."""
    with pytest.raises(SystemExit) as ended:
        run(script, "zh", [str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def refused(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that says why, after `错误: `."""
    before, names = contents(folder), sorted(folder.rglob("*"))
    capsys.readouterr()
    code = call(*arguments)
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("错误: ")
    assert contents(folder) == before
    assert sorted(folder.rglob("*")) == names
    return err.removeprefix("错误: ").rstrip("\n")
