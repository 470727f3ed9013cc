"""One model in every format that people save models in, each by the format's own writer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel

from tests.support.ggufs import NAMES

State = Mapping[str, torch.Tensor]
OUTSIDE = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}


def state_of(network: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: tensor.detach() for name, tensor in network.state_dict().items()}


def _safetensors(network: PreTrainedModel, folder: Path) -> Path:
    save_file(state_of(network), folder / "weights.safetensors", {"format": "pt"})
    return folder / "weights.safetensors"


def _sharded(network: PreTrainedModel, folder: Path) -> Path:
    network.save_pretrained(folder, max_shard_size="20KB")
    (folder / "config.json").unlink()
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder / "model.safetensors.index.json"


def _torch(make: Callable[[PreTrainedModel], Any], **options: bool) -> Writer:
    def write(network: PreTrainedModel, folder: Path) -> Path:
        torch.save(make(network), folder / "model.bin", **options)
        return folder / "model.bin"

    return write


def _distributed(network: PreTrainedModel, folder: Path) -> Path:
    with warnings.catch_warnings():
        # It warns that a single process saves.
        warnings.simplefilter("ignore")
        dcp.save({"model": state_of(network), "step": 7}, checkpoint_id=folder)
    return folder


def _gguf(network: PreTrainedModel, folder: Path) -> Path:
    writer = gguf.GGUFWriter(folder / "model.gguf", "llama")
    writer.add_block_count(len(network.model.layers))
    short = {name: ours for ours, (name, _) in NAMES.items()}
    for name, tensor in state_of(network).items():
        parts = name.removesuffix(".weight").split(".")
        if parts[:2] == ["model", "layers"]:
            stored = f"blk.{parts[2]}.{short['.'.join(parts[3:])]}.weight"
        else:
            stored = OUTSIDE[".".join(parts)] + ".weight"
        writer.add_tensor(stored, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder / "model.gguf"


def _quantised(network: PreTrainedModel, folder: Path) -> Path:
    """FP8 with one scale a matrix, as fine-grained FP8 checkpoints store their projections."""
    stored: dict[str, torch.Tensor] = {}
    for name, tensor in state_of(network).items():
        if "_proj" in name:
            stored[name] = tensor.to(torch.float8_e4m3fn)
            stored[f"{name}_scale"] = torch.ones(1)
        else:
            stored[name] = tensor
    save_file(stored, folder / "model.safetensors", {"format": "pt"})
    return folder / "model.safetensors"


Writer = Callable[[PreTrainedModel, Path], Path]
WRITERS: dict[str, Writer] = {
    "safetensors": _safetensors,
    "sharded safetensors": _sharded,
    "torch zip": _torch(state_of),
    "nested": _torch(lambda n: {"model": state_of(n), "optimizer": {"w": torch.ones(9, 9)}}),
    "wrapped": _torch(lambda n: nn.DataParallel(n).state_dict()),
    "whole module": _torch(lambda n: n),
    "LLM-Pruner": _torch(lambda n: {"model": n, "tokenizer": object}),
    "torch legacy": _torch(state_of, _use_new_zipfile_serialization=False),
    "legacy whole module": _torch(lambda n: n, _use_new_zipfile_serialization=False),
    "torch distributed": _distributed,
    "GGUF": _gguf,
    "FP8": _quantised,
}
