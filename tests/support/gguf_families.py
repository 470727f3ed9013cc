"""Tiny models of the families that are written for llama.cpp, with a tokenizer that it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as hf

from tests.support.pruning import described, plan, prune_tiny
from tests.support.tiny import SHAPE, tiny_folder

# Heads of 6 rows fill the hidden size of 24, as llama.cpp's qwen2 and phi3 want.
_FILLING: dict[str, Any] = {"head_dim": 6}
_EXPERTS: dict[str, Any] = {
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
}
_GEMMA: dict[str, Any] = {
    "tie_word_embeddings": True,
    "sliding_window": 16,
    "query_pre_attn_scalar": 20,
    "attn_logit_softcapping": 3.0,
    "final_logit_softcapping": 5.0,
}
LONGROPE: dict[str, Any] = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0, 1.5, 2.5],
    "long_factor": [1.0, 2.0, 4.0],
    # llama.cpp makes room for 256 tokens at least.
    "original_max_position_embeddings": 256,
}
YARN: dict[str, Any] = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 64,
}
CONFIGS: dict[str, tuple[type[hf.PreTrainedConfig], dict[str, Any]]] = {
    "qwen2": (hf.Qwen2Config, _FILLING),
    "qwen3": (hf.Qwen3Config, {}),
    "qwen3 yarn": (hf.Qwen3Config, {"rope_parameters": YARN}),
    "gemma2": (hf.Gemma2Config, _GEMMA),
    # As after whole layers have gone.
    "gemma2, other windows": (
        hf.Gemma2Config,
        _GEMMA
        | {"layer_types": [f"{k}_attention" for k in ("full", "sliding", "sliding", "full")]},
    ),
    "gemma2, no windows": (hf.Gemma2Config, _GEMMA | {"layer_types": ["full_attention"] * 4}),
    "mixtral": (hf.MixtralConfig, {"num_local_experts": 6, "num_experts_per_tok": 2}),
    "qwen2_moe": (hf.Qwen2MoeConfig, _FILLING | _EXPERTS | {"shared_expert_intermediate_size": 28}),
    "qwen3_moe": (hf.Qwen3MoeConfig, _EXPERTS | {"norm_topk_prob": True}),
    "phi3": (hf.Phi3Config, {"pad_token_id": 0}),
    "phi3 long": (
        hf.Phi3Config,
        {
            "pad_token_id": 0,
            "max_position_embeddings": 1024,
            "original_max_position_embeddings": 256,
            "rope_parameters": LONGROPE,
        },
    ),
    "phi3 partly rotated": (
        hf.Phi3Config,
        {
            "pad_token_id": 0,
            "hidden_size": 32,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "partial_rotary_factor": 0.5,
            },
        },
    ),
}


def network_of(name: str, **changes: Any) -> hf.PreTrainedModel:
    """Weights large enough that what is computed otherwise shows."""
    kind, own = CONFIGS[name]
    shape = SHAPE | {"bos_token_id": 1} | own | changes
    if kind is hf.Phi3Config:
        # Which has no such key.
        shape.pop("head_dim")
    network = hf.AutoModelForCausalLM.from_config(kind(**shape), attn_implementation="eager")
    generator = torch.Generator().manual_seed(0)
    # Gemma's norms lack 1.
    centre = 0.0 if kind is hf.Gemma2Config else 1.0
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(centre + 0.1 * noise if "norm" in key else 0.3 * noise)
    return network.eval()


def folder_of(name: str, folder: Path, **changes: Any) -> Path:
    return tiny_folder(folder, network_of(name, **changes))


def halved(whole: Path, folder: Path, first: int, end: int, has_heads: bool = True) -> Path:
    """The model in `whole`, of which layers `first` to `end` - 1 have lost half.

    Args:
        has_heads: of their heads too, not of their channels alone.
    """
    ratios = {"attention": 0.5, "mlp": 0.5} if has_heads else {"mlp": 0.5}
    wanted = plan(layer_ratios=dict.fromkeys(range(first, end), ratios))
    prune_tiny(described(whole), wanted).save(folder, "hf")
    return folder
