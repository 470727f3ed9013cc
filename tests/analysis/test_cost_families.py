"""FLOPs of other families than Llama, a token's experts alone among them, are what torch counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from torch.utils.flop_counter import FlopCounterMode

from prunescope.analysis.cost import cost
from prunescope.analysis.cost_result import Cost
from prunescope.analysis.workload import Workload
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError
from tests.support.families import family_folder

BATCH, CONTEXT = 2, 48
SIZES: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": False,
}  # fmt: skip
EXPERTS = {"moe_intermediate_size": 64, "num_experts": 8, "num_experts_per_tok": 2}
CONFIGS: dict[str, hf.PretrainedConfig] = {
    "qwen2": hf.Qwen2Config(**SIZES),
    "qwen3": hf.Qwen3Config(**SIZES, head_dim=32),
    "gemma2": hf.Gemma2Config(**SIZES, head_dim=32, sliding_window=64),
    "phi3": hf.Phi3Config(**SIZES),
    "glm4": hf.Glm4Config(**SIZES, head_dim=32),
    "nemotron": hf.NemotronConfig(**SIZES),
    "gpt2": hf.GPT2Config(vocab_size=320, n_embd=96, n_layer=2, n_head=4, n_positions=64),
    "gpt_neox": hf.GPTNeoXConfig(**SIZES),
    "falcon": hf.FalconConfig(**SIZES),
    "mixtral": hf.MixtralConfig(**SIZES, num_local_experts=8, num_experts_per_tok=2),
    "qwen2_moe": hf.Qwen2MoeConfig(**SIZES, **EXPERTS, shared_expert_intermediate_size=80),
    "qwen3_moe": hf.Qwen3MoeConfig(**SIZES, **EXPERTS, head_dim=32, mlp_only_layers=[0]),
    "gpt_oss": hf.GptOssConfig(**SIZES, head_dim=32, num_local_experts=8, num_experts_per_tok=2),
}


@pytest.fixture(params=CONFIGS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    hf.AutoModelForCausalLM.from_config(CONFIGS[request.param]).save_pretrained(tmp_path)
    return tmp_path


def of(folder: Path, context: int = CONTEXT, batch: int = BATCH) -> Cost:
    return cost(open_checkpoint(folder), Workload(context, batch, "f32"))


def test_a_prompt_costs_what_torch_counts(folder: Path) -> None:
    # torch counts nothing for the fused attention kernel of CPUs, nor for the grouped one of
    # experts.
    network = hf.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    if hasattr(network.config, "num_experts_per_tok"):
        network.set_experts_implementation("eager")
    tokens = torch.randint(320, (BATCH, CONTEXT), generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(input_ids=tokens, use_cache=False, logits_to_keep=1)

    assert of(folder).prefill.flops == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_a_token_reads_its_experts_and_a_prompt_all(tmp_path: Path) -> None:
    hf.AutoModelForCausalLM.from_config(CONFIGS["mixtral"]).save_pretrained(tmp_path)
    found = of(tmp_path, context=1, batch=1)
    experts = 2 * 8 * 3 * 160 * 96 * 4

    assert (found.expert_bytes, found.expert_share) == (experts, 2 / 8)
    everything = found.weight_bytes - 320 * 96 * 4
    assert found.read_bytes == everything
    # One token needs two of eight, three need six at most, four may need all.
    for batch, idle in ((1, 6), (3, 2), (4, 0), (9, 0)):
        step = of(tmp_path, context=1, batch=batch).decode
        assert step.nbytes == everything - experts * idle // 8 + batch * found.kv_bytes


@pytest.mark.parametrize("name", ["deepseek_v3", "mamba", "jamba", "t5", "bert", "vit", "llama4"])
def test_what_there_are_no_formulas_for_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArchitectureError, match=f"no formula for what a {name} model costs: "):
        of(family_folder(name, tmp_path))
