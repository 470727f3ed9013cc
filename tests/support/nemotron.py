"""A nemotron-nas model such as NVIDIA's, made by hand: transformers has no class for it.

Keys are those of config.json beside Llama-3_1-Nemotron-51B-Instruct, tensors have the names of
modeling_decilm.py there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.support.tiny import tiny_folder, tiny_network

# 4 query heads and 2 KV heads of 8. 2 · 24 · 32 / 3 = 512.
SIZES = {"hidden_size": 32, "intermediate_size": 512}
_ATTENTION = {
    "n_heads_in_group": 2, "no_op": False, "num_sink_tokens": None, "replace_with_linear": False,
    "sparsify": None, "unshifted_sink": False, "use_prefill_window_in_sink_attention": False,
    "window_length": None,
}  # fmt: skip
_FFN = {"ffn_mult": 24.0, "no_op": False, "replace_with_linear": False, "sparsify": None}
WHOLE = {"attention": _ATTENTION, "ffn": _FFN}
NO_ATTENTION = _ATTENTION | {"n_heads_in_group": None, "no_op": True}
LINEAR_ATTENTION = _ATTENTION | {"n_heads_in_group": None, "replace_with_linear": True}
NO_FFN = _FFN | {"ffn_mult": None, "no_op": True}
LINEAR_FFN = _FFN | {"ffn_mult": None, "replace_with_linear": True}
# One of each kind: whole; no attention and half of the channels; two linear layers; no MLP.
BLOCKS: tuple[dict[str, Any], ...] = (
    WHOLE,
    {"attention": NO_ATTENTION, "ffn": _FFN | {"ffn_mult": 12.0}},
    {"attention": LINEAR_ATTENTION, "ffn": LINEAR_FFN},
    {"attention": _ATTENTION, "ffn": NO_FFN},
)


def llama_folder(folder: Path) -> Path:
    """The Llama that it was made from."""
    return tiny_folder(folder, **SIZES)


def nemotron_folder(
    folder: Path, blocks: tuple[dict[str, Any], ...] = BLOCKS, **changes: Any
) -> Path:
    """Weights of `llama_folder`, as far as `blocks` keep them."""
    network = tiny_network(**SIZES)
    state = {}
    for name, tensor in network.state_dict().items():
        pieces = name.split(".")
        if pieces[1] == "layers":
            is_attention = pieces[3] in ("self_attn", "input_layernorm")
            block = blocks[int(pieces[2])]["attention" if is_attention else "ffn"]
            is_norm = pieces[3].endswith("layernorm")
            if block["no_op"] or (block["replace_with_linear"] and not is_norm):
                continue
            if not is_attention and not is_norm:
                channels = int(2 * block["ffn_mult"] * 32 / 3)
                tensor = tensor[:, :channels] if "down" in name else tensor[:channels]
        state[name] = tensor.contiguous()
    for layer, block in enumerate(blocks):
        for part, name in (("attention", "self_attn.linear_attn"), ("ffn", "mlp.linear_mlp")):
            if block[part]["replace_with_linear"]:
                state[f"model.layers.{layer}.{name}.weight"] = torch.ones(32, 32)
    config = json.loads(network.config.to_json_string()) | {
        "model_type": "nemotron-nas",
        "architectures": ["DeciLMForCausalLM"],
        "auto_map": {
            "AutoConfig": "configuration_decilm.DeciLMConfig",
            "AutoModelForCausalLM": "modeling_decilm.DeciLMForCausalLM",
        },
        "num_key_value_heads": None,
        "intermediate_size": None,
        "block_configs": list(blocks),
    }
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config | changes))
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
