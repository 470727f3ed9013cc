"""A tiny model of every family, built and saved by transformers' own classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from transformers import PreTrainedModel

from tests.support.tiny import tiny_tokenizer

# No two lengths are equal, so that a label on the wrong axis cannot pass.
_COMMON: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "tie_word_embeddings": False,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_GQA = _COMMON | {"num_key_value_heads": 2, "head_dim": 12}
_QUOTIENT = _COMMON | {"num_key_value_heads": 2}
_EXPERTS: dict[str, Any] = {
    "moe_intermediate_size": 24,
    "num_experts": 6,
    "num_experts_per_tok": 2,
}
_LATENT = {
    "q_lora_rank": 10,
    "kv_lora_rank": 14,
    "qk_nope_head_dim": 6,
    "qk_rope_head_dim": 4,
    "v_head_dim": 5,
    "n_routed_experts": 6,
    "num_experts_per_tok": 2,
    "n_shared_experts": 2,
    "moe_intermediate_size": 24,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
_T5: dict[str, Any] = {
    "vocab_size": 40,
    "d_model": 32,
    "d_kv": 12,
    "d_ff": 56,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 4,
    "pad_token_id": 0,
    "decoder_start_token_id": 0,
}


def _llama4(**changes: Any) -> PreTrainedModel:
    return hf.Llama4ForCausalLM(
        hf.Llama4TextConfig(
            **_GQA,
            intermediate_size_mlp=72,
            num_local_experts=6,
            num_experts_per_tok=1,
            interleave_moe_layer_step=2,
            **changes,
        )
    )


MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**_GQA)),
    "mistral": lambda: hf.MistralForCausalLM(hf.MistralConfig(**_GQA)),
    "qwen2": lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**_GQA)),
    "qwen3": lambda: hf.Qwen3ForCausalLM(hf.Qwen3Config(**_GQA)),
    "gemma": lambda: hf.GemmaForCausalLM(hf.GemmaConfig(**_GQA | {"tie_word_embeddings": True})),
    "gemma2": lambda: hf.Gemma2ForCausalLM(
        hf.Gemma2Config(**_GQA | {"tie_word_embeddings": True})
    ),
    "gemma3": lambda: hf.Gemma3ForCausalLM(
        hf.Gemma3TextConfig(**_GQA | {"tie_word_embeddings": True})
    ),
    "phi": lambda: hf.PhiForCausalLM(hf.PhiConfig(**_QUOTIENT)),
    "phi3": lambda: hf.Phi3ForCausalLM(hf.Phi3Config(**_QUOTIENT)),
    "olmo": lambda: hf.OlmoForCausalLM(hf.OlmoConfig(**_QUOTIENT)),
    "olmo2": lambda: hf.Olmo2ForCausalLM(hf.Olmo2Config(**_QUOTIENT)),
    "falcon": lambda: hf.FalconForCausalLM(
        hf.FalconConfig(**_COMMON, multi_query=True, parallel_attn=True, bias=False)
    ),
    "falcon new": lambda: hf.FalconForCausalLM(
        hf.FalconConfig(
            **_COMMON, new_decoder_architecture=True, num_kv_heads=2, parallel_attn=True
        )
    ),
    "falcon old": lambda: hf.FalconForCausalLM(
        hf.FalconConfig(
            **_COMMON, multi_query=False, parallel_attn=False, bias=True, alibi=True
        )
    ),
    "gpt2": lambda: hf.GPT2LMHeadModel(
        hf.GPT2Config(vocab_size=40, n_positions=64, n_embd=32, n_layer=3, n_head=4, n_inner=56)
    ),
    "gpt_neox": lambda: hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**_COMMON)),
    "opt": lambda: hf.OPTForCausalLM(
        hf.OPTConfig(
            vocab_size=40, hidden_size=32, ffn_dim=56, num_hidden_layers=3,
            num_attention_heads=4, max_position_embeddings=64, word_embed_proj_dim=24,
        )
    ),
    "bloom": lambda: hf.BloomForCausalLM(
        hf.BloomConfig(vocab_size=40, hidden_size=32, n_layer=3, n_head=4)
    ),
    "mpt": lambda: hf.MptForCausalLM(
        hf.MptConfig(vocab_size=40, d_model=32, n_heads=4, n_layers=3, expansion_ratio=2)
    ),
    "olmo3": lambda: hf.Olmo3ForCausalLM(hf.Olmo3Config(**_QUOTIENT)),
    "granite": lambda: hf.GraniteForCausalLM(hf.GraniteConfig(**_QUOTIENT)),
    "smollm3": lambda: hf.SmolLM3ForCausalLM(hf.SmolLM3Config(**_QUOTIENT)),
    "nemotron": lambda: hf.NemotronForCausalLM(hf.NemotronConfig(**_GQA)),
    "glm4": lambda: hf.Glm4ForCausalLM(hf.Glm4Config(**_GQA)),
    "starcoder2": lambda: hf.Starcoder2ForCausalLM(hf.Starcoder2Config(**_QUOTIENT)),
    "cohere": lambda: hf.CohereForCausalLM(
        hf.CohereConfig(**_QUOTIENT | {"tie_word_embeddings": True}, use_qk_norm=True)
    ),
    "cohere2": lambda: hf.Cohere2ForCausalLM(
        hf.Cohere2Config(**_QUOTIENT | {"tie_word_embeddings": True})
    ),
    "deepseek_v2": lambda: hf.DeepseekV2ForCausalLM(hf.DeepseekV2Config(**_COMMON, **_LATENT)),
    "deepseek_v3": lambda: hf.DeepseekV3ForCausalLM(hf.DeepseekV3Config(**_COMMON, **_LATENT)),
    "mixtral": lambda: hf.MixtralForCausalLM(
        hf.MixtralConfig(**_GQA, num_local_experts=6, num_experts_per_tok=2)
    ),
    "qwen2_moe": lambda: hf.Qwen2MoeForCausalLM(
        hf.Qwen2MoeConfig(
            **_GQA, **_EXPERTS, shared_expert_intermediate_size=48, mlp_only_layers=[1]
        )
    ),
    "qwen3_moe": lambda: hf.Qwen3MoeForCausalLM(
        hf.Qwen3MoeConfig(**_GQA, **_EXPERTS, mlp_only_layers=[1])
    ),
    "llama4": _llama4,
    "gpt_oss": lambda: hf.GptOssForCausalLM(
        hf.GptOssConfig(**_GQA, num_local_experts=6, num_experts_per_tok=2)
    ),
    "mamba": lambda: hf.MambaForCausalLM(
        hf.MambaConfig(
            vocab_size=40, hidden_size=32, state_size=8, num_hidden_layers=3, conv_kernel=4,
            time_step_rank=6, tie_word_embeddings=True,
        )
    ),
    "jamba": lambda: hf.JambaForCausalLM(
        hf.JambaConfig(
            **_QUOTIENT, num_experts=6, num_experts_per_tok=2, expert_layer_period=2,
            expert_layer_offset=1, attn_layer_period=3, attn_layer_offset=1, mamba_d_state=8,
            mamba_d_conv=4, mamba_dt_rank=6, use_mamba_kernels=False,
        )
    ),
    "t5": lambda: hf.T5ForConditionalGeneration(hf.T5Config(**_T5)),
    "t5 gated": lambda: hf.T5ForConditionalGeneration(
        hf.T5Config(**_T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    ),
    "bert": lambda: hf.BertForMaskedLM(hf.BertConfig(**_COMMON | {"tie_word_embeddings": True})),
    "vit": lambda: hf.ViTForImageClassification(
        hf.ViTConfig(
            hidden_size=32, intermediate_size=56, num_hidden_layers=3, num_attention_heads=4,
            image_size=32, patch_size=8, num_labels=7,
        )
    ),
}  # fmt: skip


def family_network(name: str) -> PreTrainedModel:
    torch.manual_seed(0)
    return MODELS[name]().eval()


def family_folder(name: str, folder: Path) -> Path:
    family_network(name).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
