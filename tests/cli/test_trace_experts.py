"""`prunescope trace` of experts: one column for all of a layer's, however many there are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from prunescope.cli.trace import subcommand
from prunescope.report.messages import Language
from tests.support.commands import called
from tests.support.families import MODELS
from tests.support.traces import cut, state_of, with_state

EXPERTS = "model.layers.1.block_sparse_moe.experts"


@pytest.mark.parametrize(
    ("language", "title", "moved"),
    [("en", "Expert channels (gate/up/down)", "Expert channels[4] stand in another order"),
     ("zh", "专家通道 (gate/up/down)", "专家通道[4]的顺序")],
)  # fmt: skip
def test_experts_share_a_column(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    language: Language,
    title: str,
    moved: str,
) -> None:
    torch.manual_seed(0)
    before = tmp_path / "before"
    MODELS["mixtral"]().save_pretrained(before)
    state = state_of(before)
    # Six experts of 56 channels: the third keeps 40, the fifth 48 in another order.
    for expert, kept in ((2, list(range(40))), (4, list(range(47, -1, -1)))):
        for name, axis in (("w1", 0), ("w3", 0), ("w2", 1)):
            cut(state, f"{EXPERTS}.{expert}.{name}.weight", axis, kept)
    after = with_state(before, tmp_path / "after", state)
    capsys.readouterr()
    code, out, _ = called(subcommand, capsys, str(before), str(after), language=language)
    assert code == 0
    header = next(line for line in out.splitlines() if "router" in line)
    assert header.count("gate/up/down") == 1
    assert title in header
    assert "6 × 40-56/56 ✓" in out
    assert "6 × 56/56 ✓" in out
    assert moved in out
    assert "expert_" not in out
