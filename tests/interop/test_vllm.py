"""vLLM computes what transformers does from folders of ours, whether or not layers agree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import prunescope
from tests.support.elsewhere import run_elsewhere
from tests.support.pruning import described, plan, prune_tiny
from tests.support.tiny import tiny_folder
from tests.support.uneven import whole_network

ROOT = Path(__file__).parents[2]
# An environment of its own, since vLLM pins other versions of what prunescope uses.
PYTHON = Path(os.environ.get("VLLM_PYTHON", ROOT / ".venv-vllm" / "bin" / "python"))
pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="make test-interop installs vLLM (its build for CPUs)"
)
TOKENS = list(range(3, 63, 2))
# vLLM's attention on CPUs knows heads of 32 and more; deci counts channels in units of 256.
SHAPE = {"hidden_size": 64, "head_dim": 32, "intermediate_size": 512}
ENGINE = """
import os
import torch

os.environ |= {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
}
from vllm import LLM, SamplingParams
from vllm.distributed import cleanup_dist_env_and_memory

tokens = list(range(3, 63, 2))
found = {}
for path in sys.argv[2:]:
    engine = LLM(
        path, trust_remote_code=True, skip_tokenizer_init=True, dtype="float32",
        max_model_len=64, max_num_seqs=1, max_logprobs=-1, enforce_eager=True,
    )
    options = SamplingParams(temperature=0, max_tokens=6, prompt_logprobs=-1, detokenize=False)
    answer = engine.generate({"prompt_token_ids": tokens}, options, use_tqdm=False)[0]
    rows = [[row[k].logprob for k in range(len(row))] for row in answer.prompt_logprobs[1:]]
    network = engine.llm_engine.vllm_config.model_config.architecture
    found[path] = torch.tensor(rows), list(answer.outputs[0].token_ids), network
    del engine
    cleanup_dist_env_and_memory()
torch.save(found, sys.argv[1])
"""


def save_all(folder: Path) -> dict[str, tuple[Path, str]]:
    """Folder → the one whose model prunescope loads to compare with, and the class vLLM takes."""
    backend = "TransformersForCausalLM"
    base = described(tiny_folder(folder / "base", **SHAPE))
    pruned = prune_tiny(base, plan())
    pruned.save(folder / "hf", "hf")
    pruned.save(folder / "uniform", "hf", is_uniform=True)
    pruned.save(folder / "deci", "deci", is_uniform=True)
    for gqa in ("query", "naive"):
        prune_tiny(base, plan(gqa=gqa)).save(folder / gqa, "hf")
    prune_tiny(base, plan(attention=(0, 4), mlp=(0, 4))).save(folder / "even", "hf")
    found = {
        "hf": ("hf", backend),
        "uniform": ("hf", "LlamaForCausalLM"),
        "deci": ("hf", "DeciLMForCausalLM"),
        "query": ("query", backend),
        "naive": ("naive", backend),
        "even": ("even", "LlamaForCausalLM"),
    }
    for family in ("mistral", "qwen2", "qwen3"):
        network = whole_network(family, **SHAPE)
        prune_tiny(described(tiny_folder(folder / f"{family}-base", network)), plan()).save(
            folder / family, "hf"
        )
        found[family] = family, backend
    return {str(folder / name): (folder / same, kind) for name, (same, kind) in found.items()}


def test_vllm_loads_layers_that_differ_and_computes_the_same(tmp_path: Path) -> None:
    saved = save_all(tmp_path)
    run_elsewhere(ENGINE, tmp_path / "found", *saved, home=tmp_path, python=PYTHON)
    found = torch.load(tmp_path / "found", weights_only=True)
    assert found.keys() == saved.keys()
    tokens = torch.tensor([TOKENS])
    for path, (same, kind) in saved.items():
        network = prunescope.load(same)
        with torch.no_grad():
            wanted = network(tokens).logits[0].log_softmax(-1)
            written = network.generate(tokens, max_new_tokens=6, do_sample=False)
        logprobs, continuation, loaded_as = found[path]
        assert loaded_as == kind, path
        difference = float((logprobs - wanted[:-1]).abs().max())
        # Of logarithms as far as -25 in float32, by other kernels; a wrong head changes them by 1.
        assert difference < 2e-4, path
        assert continuation == written[0, len(TOKENS) :].tolist(), path
