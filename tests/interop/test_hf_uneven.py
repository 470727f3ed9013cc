"""A model whose layers differ in shape, which stock transformers refuses, is loaded and runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

import prunescope
from tests.support.pruning import described, plan, prune_tiny
from tests.support.tiny import BIASES, edit_json, tiny_folder, tiny_network

MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama with biases": BIASES,
    "llama, tied": {"tie_word_embeddings": True},
    "mistral": {"family": "mistral"},
}
TOKENS = torch.arange(3, 303, 5).view(2, 30)


def logits(network: PreTrainedModel) -> Tensor:
    with torch.no_grad():
        return network(input_ids=TOKENS).logits


@pytest.fixture(params=MODELS)
def uneven(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Layers 0 and 3 whole, of the others half."""
    tiny_folder(tmp_path / "whole", **MODELS[request.param])
    prune_tiny(described(tmp_path / "whole"), plan()).save(tmp_path / "pruned")
    return tmp_path / "pruned"


def test_an_uneven_model_has_the_shapes_of_its_file(uneven: Path) -> None:
    network = prunescope.load(uneven)
    state = torch.load(uneven / "pytorch_model.bin", weights_only=True)
    assert {n: p.shape for n, p in network.named_parameters(remove_duplicate=False)}.items() >= {
        n: t.shape for n, t in state.items()
    }.items()
    block = network.model.layers[1]
    assert (block.self_attn.q_proj.out_features, block.self_attn.o_proj.in_features) == (16, 16)
    assert block.mlp.down_proj.in_features == 10
    assert logits(network).isfinite().all()


def test_a_cache_does_not_change_what_an_uneven_model_writes(uneven: Path) -> None:
    network = prunescope.load(uneven)
    with_cache, without = (
        network.generate(
            TOKENS,
            max_new_tokens=20,
            do_sample=False,
            use_cache=cached,
            output_logits=True,
            return_dict_in_generate=True,
        )
        for cached in (True, False)
    )
    assert with_cache.past_key_values is not None
    assert with_cache.sequences.shape[1] > TOKENS.shape[1]
    assert torch.equal(with_cache.sequences, without.sequences)
    for one, other in zip(with_cache.logits, without.logits, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("stated", [4, 12], ids=["fewer stated", "more stated"])
def test_heads_are_counted_by_the_shapes_where_the_config_still_has_the_old_count(
    tmp_path: Path, stated: int, attention: str
) -> None:
    # Six query heads share two KV heads, whatever an LLM-Pruner output's config.json says.
    network = tiny_network(num_attention_heads=6)
    tiny_folder(tmp_path, network)
    changes = {"num_attention_heads": stated, "intermediate_size": 999}
    edit_json(tmp_path / "config.json", changes)
    found = prunescope.load(tmp_path)
    for each in (found, network):
        each.set_attn_implementation(attention)
    assert torch.equal(logits(found), logits(network))
