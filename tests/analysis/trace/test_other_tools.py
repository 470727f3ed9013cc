"""What other tools cut and store: Torch-Pruning, llama.cpp's files, and a real model."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest
import torch
import torch_pruning
from transformers import AutoModelForCausalLM

from prunescope.interop.demo_source import find_gguf
from tests.support.ggufs import HEAD_DIM, HEADS, KV_HEADS, tiny_weights, write_gguf
from tests.support.traces import kept, original, pruned, recorded, state_of, traced, with_state


def test_torch_pruning_keeps_what_we_find(tmp_path: Path) -> None:
    before = original(tmp_path / "before")
    network = AutoModelForCausalLM.from_pretrained(before, attn_implementation="eager")
    network.config.use_cache = False
    pruner = torch_pruning.pruner.BasePruner(
        network,
        example_inputs=torch.arange(1, 9)[None],
        importance=torch_pruning.importance.GroupMagnitudeImportance(),
        pruning_ratio=0.25,
        ignored_layers=[network.lm_head, *(m for n, m in network.named_modules() if "attn" in n)],
        output_transform=lambda out: out.logits,
    )
    pruner.step()
    raise SystemExit(str(network))
