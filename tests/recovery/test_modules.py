"""Which modules get a LoRA? Those of the targets that a model has, whatever it calls them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from prunescope.errors import PlanError
from prunescope.recovery.blocks import Blocks
from prunescope.recovery.plan import TARGETS, RecoveryPlan
from prunescope.recovery.run import recover
from tests.support.families import MODELS
from tests.support.pruning import described

PLAN = RecoveryPlan(epochs=1, batch=2, micro_batch=2, cutoff=8, warmup=0, learning_rate=1e-2)
BLOCKS = Blocks("made up", tuple(tuple(range(n, n + 8)) for n in range(3, 11)), "00")
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


def saved(family: str, folder: Path) -> Path:
    torch.manual_seed(0)
    MODELS[family]().save_pretrained(folder / "model")
    return folder / "model"


@pytest.mark.parametrize(
    ("family", "modules"),
    [
        ("llama", TARGETS),
        ("phi3", ("o_proj", "down_proj", "qkv_proj", "gate_up_proj")),
        # Experts are stacked.
        ("mixtral", ATTENTION),
        ("qwen3_moe", ATTENTION),
        ("qwen2_moe", ATTENTION),
        ("starcoder2", ATTENTION),
    ],
)
def test_each_that_is_named_is_trained_and_no_other(
    tmp_path: Path, family: str, modules: tuple[str, ...]
) -> None:
    source = saved(family, tmp_path)
    found = recover(described(source), PLAN, BLOCKS, tmp_path / "new")
    assert found.modules == modules
    before, after = (
        load_file(folder / "model.safetensors") for folder in (source, tmp_path / "new")
    )
    changed = {n.split(".")[-2] for n in before if not torch.equal(before[n], after[n])}
    assert changed == set(modules)


def test_one_part_is_enough_for_what_it_is_fused_into(tmp_path: Path) -> None:
    model = described(saved("phi3", tmp_path))
    assert replace(PLAN, targets=("k_proj",)).modules(model) == ("qkv_proj",)


def test_a_model_without_any_target_is_refused(tmp_path: Path) -> None:
    model = described(saved("mixtral", tmp_path))
    with pytest.raises(PlanError, match="has no gate_proj,up_proj: name others with --lora-targ"):
        recover(model, replace(PLAN, targets=("gate_proj", "up_proj")), BLOCKS, tmp_path / "new")
    assert not (tmp_path / "new").exists()
