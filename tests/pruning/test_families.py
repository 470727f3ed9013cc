"""Families whose attention is like Llama's are pruned as Llama is; others are refused in a line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers as hf

import prunescope
from prunescope.analysis.verify import verify
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError
from prunescope.pruning.resolving import resolve
from tests.support.families import family_folder
from tests.support.pruning import described, plan, prune_tiny

LIKE_LLAMA = [
    "qwen2",
    "qwen3",
    "gemma",
    "gemma2",
    "gemma3",
    "olmo",
    "olmo2",
    "starcoder2",
    "cohere2",
]
EVERYWHERE = {"attention": (0, 3), "mlp": (0, 3)}
IDS = torch.arange(3, 20)[None]


@pytest.mark.parametrize("name", LIKE_LLAMA)
def test_what_is_left_computes_as_transformers_does(name: str, tmp_path: Path) -> None:
    original = family_folder(name, tmp_path / "original")
    prune_tiny(described(original), plan("l1", **EVERYWHERE)).save(tmp_path / "pruned")

    model = described(tmp_path / "pruned")

    assert model.head_dim == described(original).head_dim
    theirs = hf.AutoModelForCausalLM.from_pretrained(tmp_path / "pruned").eval()
    with torch.no_grad():
        assert torch.equal(prunescope.load(tmp_path / "pruned")(IDS).logits, theirs(IDS).logits)
    assert (theirs.config.num_attention_heads, theirs.config.num_key_value_heads) == (2, 1)
    found = verify(open_checkpoint(tmp_path / "pruned"), open_checkpoint(original))
    # llama.cpp's own Qwen2 has heads of hidden size / heads: it is written as a Llama instead.
    noted = {check.name for check in found.checks if check.verdict in ("warn", "fail")}
    assert noted == ({"llama.cpp"} if name == "qwen2" else set())


@pytest.mark.parametrize("name", ["phi", "gpt2", "cohere", "bert", "mamba", "t5", "deepseek_v3"])
def test_what_cannot_be_cut_yet_is_said(name: str, tmp_path: Path) -> None:
    model = described(family_folder(name, tmp_path))
    with pytest.raises(ArchitectureError, match=f"a {name} model can be measured, not pruned"):
        resolve(plan("l1", **EVERYWHERE), model)
