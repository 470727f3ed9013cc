"""How are a model's tensors written, in each format's way?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.errors import PrunescopeError
from prunescope.extras import require
from prunescope.interop.convert_target import MARK
from prunescope.interop.export import Export
from prunescope.interop.hf import assemble, load_tokenizer
from prunescope.interop.shards import DEFAULT_SHARD

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", "prune")

WEIGHTS = "pytorch_model.bin"


def write_weights(
    folder: Path, exported: Export, base: Path, shard_bytes: int = DEFAULT_SHARD
) -> list[str]:
    """Write the weight files of `exported` into `folder`; returns their names.

    Args:
        base: the folder with the tokenizer, which a pickled module is saved with.

    Raises:
        CheckpointError: the tensors are no whole model (`llm_pruner`).
        RuntimeError, OSError: the disk is full.
    """
    if exported.form == "bin":
        # torch names the archive's root after the file: written under its final name.
        torch.save(dict(exported.state), folder / WEIGHTS)
        return [WEIGHTS]
    if exported.form == "llm_pruner":
        torch.save(_module(exported, base), folder / WEIGHTS)
        return [WEIGHTS]
    from huggingface_hub import save_torch_state_dict

    state = _untied(exported.state, exported.config)
    # The library asks for the largest shard, and makes as many as that takes.
    save_torch_state_dict(state, folder, max_shard_size=shard_bytes, metadata=dict(MARK))
    return sorted(path.name for path in folder.glob("*.safetensors"))


def _module(exported: Export, base: Path) -> dict[str, Any]:
    """What LLM-Pruner's scripts find in a file: the model, an ordinary transformers class.

    https://github.com/horseee/LLM-Pruner/blob/main/hf_prune.py (its `torch.save`)
    """
    network = assemble(exported.config, exported.state, str(base))
    try:
        tokenizer = load_tokenizer(base)
    except PrunescopeError:
        # A model can be pruned without one.
        tokenizer = None
    # As a model that was never stored: a script that trains it should not have to ask.
    return {"model": network.requires_grad_(), "tokenizer": tokenizer}


def _untied(
    state: Mapping[str, torch.Tensor], config: Mapping[str, Any]
) -> dict[str, torch.Tensor]:
    """Tensors that share no bytes: safetensors cannot say it.

    Of tied ones the first is written, where transformers ties the others again; else all.
    """
    seen: set[int] = set()
    result = {}
    for name, tensor in state.items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            result[name] = tensor
        elif not config.get("tie_word_embeddings"):
            result[name] = tensor.clone()
    return result
