"""GGUF files: small Llamas by llama.cpp's own writer, and headers laid out byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np

LAYERS, HIDDEN, CHANNELS, HEADS, KV_HEADS, HEAD_DIM, VOCAB = 2, 64, 96, 4, 2, 16, 40
NAMES = {
    "attn_norm": ("input_layernorm", (HIDDEN,)),
    "attn_q": ("self_attn.q_proj", (HEADS * HEAD_DIM, HIDDEN)),
    "attn_k": ("self_attn.k_proj", (KV_HEADS * HEAD_DIM, HIDDEN)),
    "attn_v": ("self_attn.v_proj", (KV_HEADS * HEAD_DIM, HIDDEN)),
    "attn_output": ("self_attn.o_proj", (HIDDEN, HEADS * HEAD_DIM)),
    "ffn_norm": ("post_attention_layernorm", (HIDDEN,)),
    "ffn_gate": ("mlp.gate_proj", (CHANNELS, HIDDEN)),
    "ffn_up": ("mlp.up_proj", (CHANNELS, HIDDEN)),
    "ffn_down": ("mlp.down_proj", (HIDDEN, CHANNELS)),
}
Weights = dict[str, np.ndarray]


def tiny_weights() -> tuple[Weights, Weights]:
    """A two-layer Llama with KV heads of its own, untied: under llama.cpp's and HF's names."""
    random = np.random.default_rng(7)
    shapes = {
        "token_embd": ("model.embed_tokens", (VOCAB, HIDDEN)),
        "output_norm": ("model.norm", (HIDDEN,)),
        "output": ("lm_head", (VOCAB, HIDDEN)),
    }
    for layer in range(LAYERS):
        for short, (name, shape) in NAMES.items():
            shapes[f"blk.{layer}.{short}"] = (f"model.layers.{layer}.{name}", shape)
    hf = {f"{n}.weight": random.random(s, np.float32) for n, s in shapes.values()}
    stored = {}
    for short, (name, _) in shapes.items():
        rows = hf[f"{name}.weight"]
        if short.endswith(("attn_q", "attn_k")):
            heads = HEADS if short.endswith("q") else KV_HEADS
            # llama.cpp's own direction: convert_hf_to_gguf.py, LlamaModel.permute.
            rows = rows.reshape(heads, 2, HEAD_DIM // 2, HIDDEN).swapaxes(1, 2).reshape(rows.shape)
        stored[f"{short}.weight"] = np.ascontiguousarray(rows)
    return stored, hf


def add_tokenizer(writer: gguf.GGUFWriter) -> None:
    """A byte-level BPE vocabulary of single characters and two merges, and what a config needs.

    (transformers takes an array of one for its element.)
    """
    tokens = ["<s>", "</s>", "ab", "cd", *map(chr, range(ord("A"), ord("A") + VOCAB - 4))]
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (VOCAB - 2))
    writer.add_token_merges(["a b", "c d"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)


def write_gguf(
    path: Path,
    weights: Weights,
    architecture: str = "llama",
    kind: gguf.GGMLQuantizationType | None = None,
    extra: Callable[[gguf.GGUFWriter], None] = lambda writer: None,
    shard_tensors: int = 0,
) -> Path:
    """A Llama of the sizes above: matrices as `kind`, at most `shard_tensors` in a file."""
    writer = gguf.GGUFWriter(path, architecture, split_max_tensors=shard_tensors)
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(CHANNELS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_vocab_size(VOCAB)
    writer.add_context_length(128)
    extra(writer)
    for name, values in weights.items():
        if kind is None or values.ndim == 1:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
    finish(writer)
    return path


def finish(writer: gguf.GGUFWriter) -> None:
    """Write what was added."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def file_of(
    keys: bytes = b"",
    key_count: int = 0,
    tensors: bytes = b"",
    count: int = 0,
    data: bytes = b"",
    version: int = 3,
) -> bytes:
    """A file with these keys and tensors, as packed; its data is padded as every writer does."""
    header = b"GGUF" + struct.pack("<IQQ", version, count, key_count) + keys + tensors
    return header + bytes(-len(header) % 32) + data + bytes(-len(data) % 32)


def key(name: str, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def array(name: str, kind: int, length: int, content: bytes = b"") -> bytes:
    return key(name, 9, struct.pack("<IQ", kind, length) + content)


def tensor(name: str, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    axes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + axes + struct.pack("<IQ", kind, offset)
