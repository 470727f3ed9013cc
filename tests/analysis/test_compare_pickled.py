"""A whole pickled module beside the folder that transformers saved: names and ties may differ."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

from prunescope.analysis.compare import compare
from prunescope.analysis.verify import verify
from prunescope.checkpoint import open_checkpoint

SIZES = {
    "vocab_size": 160,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
CONFIGS = {
    # No table knows it, and its head is tied under another name than the usual one.
    "roberta": lambda: transformers.RobertaConfig(**SIZES, is_decoder=True),
    # `embed_out` in files, `lm_head` in memory.
    "gpt_neox": lambda: transformers.GPTNeoXConfig(**SIZES),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_pickled_module_is_compared_with_the_folder_it_was_loaded_from(
    tmp_path: Path, name: str
) -> None:
    network = transformers.AutoModelForCausalLM.from_config(CONFIGS[name]())
    network.save_pretrained(tmp_path / "original")
    before = sum(p.numel() for p in network.parameters())
    # Half the channels of one projection, as a pruner in memory would take them.
    up = next(
        module
        for path, module in network.named_modules()
        if path.endswith(("dense_h_to_4h", "intermediate.dense"))
    )
    up.weight, up.bias = nn.Parameter(up.weight[:24]), nn.Parameter(up.bias[:24])
    torch.save({"model": network, "tokenizer": None}, tmp_path / "pruned.bin")

    found = compare(
        open_checkpoint(tmp_path / "original"), open_checkpoint(tmp_path / "pruned.bin")
    )

    assert (found.parameters.original, found.parameters.removed) == (before, 24 * 32 + 24)


def test_a_head_under_neither_name_is_missed(tmp_path: Path) -> None:
    network = transformers.AutoModelForCausalLM.from_config(CONFIGS["gpt_neox"]())
    network.config.save_pretrained(tmp_path)
    state = {name: w for name, w in network.state_dict().items() if name != "lm_head.weight"}
    torch.save(state, tmp_path / "pytorch_model.bin")

    assert "tied" in [check.name for check in verify(open_checkpoint(tmp_path)).failed]
