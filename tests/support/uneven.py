"""Tiny models of several families with layers that differ, and what they should compute.

The expectation needs no pruned model: a head whose columns of o are zero, and a channel whose
column of down is zero, add as much as one that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from prunescope.interop.config_file import write_config
from prunescope.interop.export import Export
from prunescope.interop.hf_config import with_code
from prunescope.interop.weight_files import write_weights
from tests.support.tiny import SHAPE, tiny_tokenizer

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
HEAD = 8
# Layer → KV heads and channels that stay. Of layer 2 no attention goes, of layer 0 nothing.
KEPT: Mapping[int, tuple[list[int], list[int]]] = {
    1: ([1], [0, 2, 3, 7, 11, 13, 19]),
    2: ([0, 1], list(range(5, 20))),
    3: ([0], list(range(20))),
}
TOKENS = torch.arange(3, 63, 2)[None]


def whole_network(family: str, **changes: Any) -> PreTrainedModel:
    """Of `SHAPE` but for `changes`, with weights that show an error."""
    config = AutoConfig.for_model(family, **SHAPE | changes)
    network = AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.1 * noise if "norm" in name else 0.3 * noise)
    return network.eval()


def expected_logits(network: PreTrainedModel) -> torch.Tensor:
    """Of `network` once what goes adds nothing; it is changed."""
    with torch.no_grad():
        for number, (kv_heads, channels) in KEPT.items():
            layer = network.model.layers[number]
            gone = torch.ones(SHAPE["num_attention_heads"] * HEAD, dtype=torch.bool)
            gone[_query_rows(kv_heads)] = False
            layer.self_attn.o_proj.weight[:, gone] = 0
            idle = torch.ones(SHAPE["intermediate_size"], dtype=torch.bool)
            idle[channels] = False
            layer.mlp.down_proj.weight[:, idle] = 0
        return network(TOKENS).logits


def pruned_folder(folder: Path, family: str) -> torch.Tensor:
    """Write the pruned model of `family`, sliced here; returns the logits it should give."""
    network = whole_network(family)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    layers: dict[str, dict[str, int]] = {}
    for number, (kv_heads, channels) in KEPT.items():
        _slice(state, f"model.layers.{number}.", _query_rows(kv_heads), _rows(kv_heads), channels)
        layers[str(number)] = {
            "num_attention_heads": 2 * len(kv_heads),
            "num_key_value_heads": len(kv_heads),
            "intermediate_size": len(channels),
        }
    settings: dict[str, Any] = network.config.to_dict() | {
        "architectures": [type(network).__name__],
        "per_layer_config": layers,
        "allow_global_per_layer_attribute_access": True,
    }
    config = with_code(settings)
    folder.mkdir(parents=True)
    tiny_tokenizer().save_pretrained(folder)
    write_weights(folder, Export("hf", state, config), folder)
    write_config(folder, config)
    return expected_logits(network)


def _slice(
    state: dict[str, torch.Tensor],
    prefix: str,
    queries: list[int],
    keys: list[int],
    rest: list[int],
) -> None:
    rows = {"q_proj": queries, "k_proj": keys, "v_proj": keys, "gate_proj": rest, "up_proj": rest}
    columns = {"o_proj": queries, "down_proj": rest}
    for name in [name for name in state if name.startswith(prefix)]:
        module, kind = name.split(".")[-2:]
        if module in rows:
            state[name] = state[name][rows[module]]
        elif module in columns and kind == "weight":
            state[name] = state[name][:, columns[module]].contiguous()


def _rows(heads: list[int]) -> list[int]:
    return [head * HEAD + row for head in heads for row in range(HEAD)]


def _query_rows(kv_heads: list[int]) -> list[int]:
    return _rows([2 * head + each for head in kv_heads for each in (0, 1)])
