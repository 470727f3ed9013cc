"""What is saved loads where there is no prunescope, and computes what the original's rest does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

import prunescope
from prunescope.checkpoint import open_checkpoint
from tests.support.elsewhere import run_elsewhere
from tests.support.pruning import described, plan, prune_tiny
from tests.support.scripts import environment
from tests.support.tiny import SHAPE, tiny_folder
from tests.support.uneven import FAMILIES, TOKENS, pruned_folder

TRANSFORMERS = """
import torch
from pathlib import Path
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

tokens, found = torch.arange(3, 63, 2)[None], {}
for path in sys.argv[2:]:
    load = AutoModelForCausalLM.from_pretrained
    model, report = load(path, trust_remote_code=True, output_loading_info=True)
    assert not any(report.values()), report
    with torch.no_grad():
        sdpa = model(tokens).logits
        half = model(tokens[:, :11], use_cache=True)
        rest = model(tokens[:, 11:], past_key_values=half.past_key_values).logits
        base = AutoModel.from_pretrained(path, trust_remote_code=True)(tokens)
        model.set_attn_implementation("eager")
        eager = model(tokens).logits
    written = [
        model.generate(tokens, max_new_tokens=6, do_sample=False, use_cache=cache).tolist()
        for cache in (True, False)
    ]
    assert written[0] == written[1]
    model.save_pretrained(path + "-again")
    again = load(path + "-again", trust_remote_code=True)
    assert type(again).__name__ == type(model).__name__
    with torch.no_grad():
        found[path] = {
            "sdpa": sdpa, "cached": torch.cat([half.logits, rest], 1), "eager": eager,
            "base": model.lm_head(base.last_hidden_state), "again": again(tokens).logits,
        }
    if (Path(path) / "tokenizer.json").exists():
        AutoTokenizer.from_pretrained(path)
torch.save(found, sys.argv[1])
"""
STOCK = """
import torch
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(sys.argv[2])
assert type(model).__module__.startswith("transformers.models.")
torch.save(model(torch.arange(3, 63, 2)[None]).logits.detach(), sys.argv[1])
"""
LLM_PRUNER = """
import torch

loaded = torch.load(sys.argv[2], map_location="cpu", weights_only=False)
tokenizer, model = loaded["tokenizer"], loaded["model"]
assert type(model).__module__ == "transformers.models.llama.modeling_llama"
tokens = torch.arange(3, 63, 2)[None]
model.generate(tokens, max_new_tokens=3)
model(tokens, labels=tokens).loss.backward()
assert tokenizer("Water boils when").input_ids
torch.save(model(tokens).logits.detach(), sys.argv[1])
"""
OURS = """
import sys
import torch
import prunescope

found = {}
for path in sys.argv[2:]:
    model = prunescope.load(path)
    with torch.no_grad():
        found[path] = model(torch.arange(3, 63, 2)[None]).logits
    model.generate(torch.arange(3, 23, 2)[None], max_new_tokens=3)
torch.save(found, sys.argv[1])
"""
DECI = """
import json
from transformers import AutoConfig

config = AutoConfig.from_pretrained(sys.argv[1], trust_remote_code=True)
config.save_pretrained(sys.argv[2])
blocks = [
    [b.attention.no_op, b.attention.n_heads_in_group, b.ffn.no_op, b.ffn.ffn_mult]
    for b in config.block_configs
]
print(json.dumps([config.model_type, config.num_attention_heads, config.head_dim, blocks]))
"""


def logits_here(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        return prunescope.load(folder)(TOKENS).logits


def test_transformers_loads_layers_that_differ_with_the_code_beside_them(tmp_path: Path) -> None:
    expected = {str(tmp_path / f): pruned_folder(tmp_path / f, f) for f in FAMILIES}
    pruned = prune_tiny(described(tiny_folder(tmp_path / "base", tie_word_embeddings=True)), plan())
    pruned.save(tmp_path / "hf", "hf")
    expected[str(tmp_path / "hf")] = logits_here(tmp_path / "hf")
    run_elsewhere(TRANSFORMERS, tmp_path / "logits", *expected, home=tmp_path)
    found = torch.load(tmp_path / "logits", weights_only=True)
    assert found.keys() == expected.keys()
    for path, logits in expected.items():
        for way, theirs in found[path].items():
            torch.testing.assert_close(theirs, logits, msg=lambda m, p=path, w=way: f"{p} {w}: {m}")
        again = Path(path + "-again")
        assert (again / "modeling_prunescope.py").exists()
        assert (again / "model.safetensors").exists()
    for family in ("llama", "mistral"):
        torch.testing.assert_close(logits_here(tmp_path / family), expected[str(tmp_path / family)])


def test_prunescope_loads_them_in_a_process_that_did_not_prune(tmp_path: Path) -> None:
    expected = {str(tmp_path / f): pruned_folder(tmp_path / f, f) for f in ("llama", "mistral")}
    subprocess.run(
        [sys.executable, "-c", OURS, tmp_path / "logits", *expected], env=environment(), check=True
    )
    found = torch.load(tmp_path / "logits", weights_only=True)
    assert found.keys() == expected.keys()
    for path, logits in expected.items():
        torch.testing.assert_close(found[path], logits)


def test_a_padded_model_is_a_stock_model(tmp_path: Path) -> None:
    pruned = prune_tiny(described(tiny_folder(tmp_path / "base")), plan())
    pruned.save(tmp_path / "uneven")
    padding = pruned.save(tmp_path / "out", "hf", is_uniform=True)
    run_elsewhere(STOCK, tmp_path / "logits", tmp_path / "out", home=tmp_path)
    torch.testing.assert_close(
        torch.load(tmp_path / "logits", weights_only=True), logits_here(tmp_path / "uneven")
    )
    # Two layers get one KV head, its two query heads and 10 channels back, of 24 columns each.
    assert padding is not None
    assert padding.parameters == 2 * (2 * 8 * 2 + 2 * 8 + 3 * 10) * 24
    assert padding.nbytes == 4 * padding.parameters
    assert not (tmp_path / "out" / "modeling_prunescope.py").exists()


def test_llm_pruners_scripts_find_the_module_and_the_tokenizer(tmp_path: Path) -> None:
    pruned = prune_tiny(described(tiny_folder(tmp_path / "base")), plan())
    pruned.save(tmp_path / "out", "llm_pruner")
    weights = tmp_path / "out" / "pytorch_model.bin"
    run_elsewhere(LLM_PRUNER, tmp_path / "logits", weights, home=tmp_path)
    pruned.save(tmp_path / "plain")
    theirs = torch.load(tmp_path / "logits", weights_only=True)
    torch.testing.assert_close(theirs, logits_here(tmp_path / "plain"))
    # And prunescope reads its shapes without executing it.
    ours, plain = open_checkpoint(weights), open_checkpoint(tmp_path / "plain")
    assert {n: t.shape for n, t in ours.tensors.items()} == {
        n: t.shape for n, t in plain.tensors.items()
    }


def engines_channels(ffn_mult: float, hidden: int) -> int:
    """`_ffn_mult_to_intermediate_size` of vLLM and TensorRT-LLM, as a formula."""
    return -(-int(2 * ffn_mult * hidden / 3) // 256) * 256


def test_vllm_and_tensorrt_find_every_layers_sizes_in_block_configs(tmp_path: Path) -> None:
    pruned = prune_tiny(described(tiny_folder(tmp_path / "base")), plan())
    pruned.save(tmp_path / "plain")
    pruned.save(tmp_path / "out", "deci", is_uniform=True)
    printed = run_elsewhere(DECI, tmp_path / "out", tmp_path / "again", home=tmp_path)
    model_type, heads, head_dim, blocks = json.loads(printed)
    assert (model_type, heads, head_dim, len(blocks)) == ("nemotron-nas", 4, 8, 4)
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    again = json.loads((tmp_path / "again" / "config.json").read_text())
    assert again["block_configs"] == written["block_configs"]
    assert written["architectures"] == ["DeciLMForCausalLM"]
    state = load_file(tmp_path / "out" / "model.safetensors")
    for number, (no_attention, group, no_ffn, ffn_mult) in enumerate(blocks):
        assert not no_attention
        assert not no_ffn
        layer = f"model.layers.{number}."
        assert state[f"{layer}self_attn.q_proj.weight"].shape == (heads * head_dim, 24)
        assert state[f"{layer}self_attn.k_proj.weight"].shape == (heads // group * head_dim, 24)
        channels = engines_channels(ffn_mult, 24)
        assert state[f"{layer}mlp.down_proj.weight"].shape == (24, channels)
    # All layers have 256 channels here: an ordinary Llama computes with them.
    shape = SHAPE | {"intermediate_size": 256}
    stock = LlamaForCausalLM(LlamaConfig(**shape)).eval()
    stock.load_state_dict(state)
    with torch.no_grad():
        torch.testing.assert_close(stock(TOKENS).logits, logits_here(tmp_path / "plain"))


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_demands_of_heads_are_known(family: str) -> None:
    from transformers import AutoConfig

    from prunescope.architecture.head_counts import takes_heads

    changed = SHAPE | {"num_attention_heads": 10, "num_key_value_heads": 5}
    try:
        AutoConfig.for_model(family, **changed)
    except Exception:  # huggingface_hub's own kind
        accepted = False
    else:
        accepted = True
    assert takes_heads(changed | {"model_type": family}) == accepted
