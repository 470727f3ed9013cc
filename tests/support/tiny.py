"""Tiny models with random weights and a real tokenizer, made by transformers itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from prunescope.architecture import Model, describe
from prunescope.checkpoint import open_checkpoint
from prunescope.data import embedded_text

VOCABULARY = 320
EOS = "<|endoftext|>"
# Four query heads share two KV heads; heads × head_dim is not the hidden size, so that a mix-up
# of the two cannot pass.
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "intermediate_size": 20,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "bos_token_id": None,
    "eos_token_id": 0,
    "tie_word_embeddings": False,
}
BIASES = {"attention_bias": True, "mlp_bias": True}


def tiny_network(
    family: str = "llama", dtype: torch.dtype = torch.float32, seed: int = 0, **changes: Any
) -> PreTrainedModel:
    """A model with the shape above, but for `changes` to its config.

    Its weights are larger than a fresh model's: with those every token would be as likely as any
    other and most errors would not show.
    """
    config = (MistralConfig if family == "mistral" else LlamaConfig)(**SHAPE | changes)
    network = AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.1 * noise if "norm" in name else 0.3 * noise)
    return network.to(dtype).eval()


def tiny_folder(folder: Path, network: PreTrainedModel | None = None, **changes: Any) -> Path:
    """`network`, or the one that `changes` describe, with its tokenizer in `folder`."""
    (network or tiny_network(**changes)).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def tiny_model(folder: Path, network: PreTrainedModel | None = None, **changes: Any) -> Model:
    """The same, as prunescope describes it."""
    return describe(open_checkpoint(tiny_folder(folder, network, **changes)))


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE: every text has tokens, and decoding them gives the text back."""
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(_trained()), eos_token=EOS)


def sentencepieces(has_prefix: bool) -> PreTrainedTokenizerFast:
    """SentencePiece's BPE as tokenizer.json has it: Llama's, or without the prefix, as Gemma's."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    steps = [normalizers.Prepend("▁")] if has_prefix else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    ends = [decoders.Strip(" ", 1, 0)] if has_prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *ends]
    )
    pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=["<unk>", "<s>", EOS, *pieces], show_progress=False
    )
    tokenizer.train_from_iterator([embedded_text("calibration")[:20_000]], trainer)
    # Trained as special tokens, bytes are ordinary ones of the vocabulary.
    made = json.loads(tokenizer.to_str())
    made["added_tokens"] = [a for a in made["added_tokens"] if a["content"] not in pieces]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(made)),
        unk_token="<unk>",
        bos_token="<s>",
        eos_token=EOS,
    )


def edit_json(path: Path, changes: Mapping[str, Any]) -> None:
    """Change keys of a JSON file; None removes one."""
    value = json.loads(path.read_text("utf-8")) | changes
    path.write_text(json.dumps({k: v for k, v in value.items() if v is not None}), "utf-8")


@cache
def _trained() -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[EOS],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator([embedded_text("calibration")[:20_000]], trainer)
    return tokenizer.to_str()
