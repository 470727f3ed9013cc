"""Adapters as PEFT itself saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import IA3Config, LoraConfig, PeftConfig, get_peft_model

from tests.support.tiny import tiny_network

BASE = "org/tiny-llama"
TARGETS = ["q_proj", "v_proj"]


def lora_config(**changes: Any) -> LoraConfig:
    return LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS, task_type="CAUSAL_LM", **changes)


def ia3_config() -> IA3Config:
    return IA3Config(target_modules=TARGETS, feedforward_modules=[], task_type="CAUSAL_LM")


def save_adapter(folder: Path, config: PeftConfig, safetensors: bool = True) -> Path:
    """An adapter with random weights for the tiny model, which it knows as BASE."""
    network = tiny_network()
    network.name_or_path = BASE
    adapted = get_peft_model(network, config)
    torch.manual_seed(0)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter)
    # Else it asks the hub for the vocabulary of BASE.
    adapted.save_pretrained(folder, safe_serialization=safetensors, save_embedding_layers=False)
    return folder
