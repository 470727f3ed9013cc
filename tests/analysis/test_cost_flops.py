"""FLOPs and cache agree with what torch counts and holds while transformers runs the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache, PreTrainedModel

import prunescope
from prunescope.analysis.cost import cost
from prunescope.analysis.cost_result import Cost
from prunescope.analysis.workload import Workload
from prunescope.checkpoint import open_checkpoint
from tests.support.pruning import described, plan, prune_tiny
from tests.support.tiny import tiny_folder

BATCH, CONTEXT = 2, 48
SIZES = {"hidden_size": 96, "intermediate_size": 160, "head_dim": 16}
MODELS: dict[str, dict[str, Any]] = {
    "llama with GQA": {},
    "llama, tied": {"tie_word_embeddings": True},
    "llama without GQA": {"num_key_value_heads": 4},
    "llama with biases": {"attention_bias": True, "mlp_bias": True},
    "mistral": {"family": "mistral", "sliding_window": None},
}


@pytest.fixture(params=[(name, pruned) for name in MODELS for pruned in (False, True)], ids=str)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Each model whole, and with half of its inner layers' heads and channels gone."""
    name, is_pruned = request.param
    tiny_folder(tmp_path / "whole", **SIZES | MODELS[name])
    if not is_pruned:
        return tmp_path / "whole"
    prune_tiny(described(tmp_path / "whole"), plan()).save(tmp_path / "pruned")
    return tmp_path / "pruned"


def loaded(folder: Path) -> PreTrainedModel:
    network = prunescope.load(folder)
    # torch counts nothing for the fused attention kernel of CPUs.
    network.set_attn_implementation("eager")
    return network


def counted(network: PreTrainedModel, **inputs: Any) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(**inputs)
    return int(counter.get_total_flops())


def ours(folder: Path) -> Cost:
    return cost(open_checkpoint(folder), Workload(CONTEXT, BATCH, "f32"))


def test_prefill_and_decode_cost_what_torch_counts(folder: Path) -> None:
    network = loaded(folder)
    tokens = torch.randint(320, (BATCH, CONTEXT), generator=torch.Generator().manual_seed(0))
    found = ours(folder)

    prefill = counted(network, input_ids=tokens, use_cache=False, logits_to_keep=1)
    cache = DynamicCache(config=network.config)
    with torch.no_grad():
        network(input_ids=tokens[:, :-1], past_key_values=cache)
    decode = counted(network, input_ids=tokens[:, -1:], past_key_values=cache)

    assert found.prefill.flops == pytest.approx(prefill, rel=0.01)
    assert found.decode.flops == pytest.approx(decode, rel=0.01)


def test_the_cache_is_as_large_as_transformers_own(folder: Path) -> None:
    network = loaded(folder)
    cache = DynamicCache(config=network.config)
    with torch.no_grad():
        network(input_ids=torch.ones(BATCH, CONTEXT, dtype=torch.long), past_key_values=cache)
    held = sum(t.nbytes for layer in cache.layers for t in (layer.keys, layer.values))
    assert BATCH * ours(folder).kv_bytes == held
    assert ours(folder).kv_bytes_per_token * BATCH * CONTEXT == held
