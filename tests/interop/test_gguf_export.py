"""A GGUF file of ours holds what llama.cpp's own reader library finds in it, and nothing half."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from prunescope.checkpoint import open_checkpoint
from prunescope.errors import CheckpointError, PrunescopeError
from prunescope.interop.convert import convert
from prunescope.interop.gguf_export import export_gguf
from tests.support.ggufs import add_tokenizer, tiny_weights, write_gguf
from tests.support.pruning import described, edit_weights, plan, prune_tiny
from tests.support.tiny import (
    BIASES,
    SHAPE,
    edit_json,
    sentencepieces,
    tiny_folder,
    tiny_network,
    tiny_tokenizer,
)

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Keys and dequantised tensors, by the gguf library."""
    reader = gguf.GGUFReader(path)
    keys = {name: field.contents() for name, field in reader.fields.items()}
    tensors = {
        t.name: gguf.dequantize(t.data, t.tensor_type).reshape(t.shape[::-1].tolist())
        for t in reader.tensors
    }
    return keys, tensors


def rotated(rows: np.ndarray, heads: int) -> np.ndarray:
    """Row r of a head's first half and r of its second, side by side: written out row by row."""
    each = len(rows) // heads
    order = [
        head * each + row + half
        for head in range(heads)
        for row in range(each // 2)
        for half in (0, each // 2)
    ]
    return rows[order]


def pruned(tmp_path: Path, **changes: Any) -> Path:
    """A tiny model of which layers 1 and 2 have lost half."""
    whole = tiny_folder(tmp_path / "whole", **changes)
    model = described(whole)
    prune_tiny(model, plan()).save(tmp_path / "pruned")
    return tmp_path / "pruned"


@pytest.mark.parametrize("changes", [{}, BIASES], ids=["weights", "biases"])
def test_every_tensor_is_there_in_llama_cpps_order(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = tiny_folder(tmp_path / "model", **changes)
    done = export_gguf(folder, tmp_path / "m.gguf", "f32")
    _, tensors = read(tmp_path / "m.gguf")
    network = AutoModelForCausalLM.from_pretrained(folder)
    layer, mine = network.model.layers[1], "blk.1."
    for kind in ("weight", "bias") if changes else ("weight",):
        linear = {
            name: getattr(module, kind).detach().numpy()
            for name, module in [*layer.self_attn.named_children(), *layer.mlp.named_children()]
            if hasattr(module, "weight")
        }
        np.testing.assert_array_equal(tensors[f"{mine}attn_q.{kind}"], rotated(linear["q_proj"], 4))
        np.testing.assert_array_equal(tensors[f"{mine}attn_k.{kind}"], rotated(linear["k_proj"], 2))
        for theirs, ours in (("attn_v", "v_proj"), ("attn_output", "o_proj"),
                             ("ffn_gate", "gate_proj"), ("ffn_down", "down_proj")):  # fmt: skip
            np.testing.assert_array_equal(tensors[f"{mine}{theirs}.{kind}"], linear[ours])
    parameters = sum(p.numel() for p in network.parameters())
    assert sum(t.size for t in tensors.values()) == parameters
    assert (done.architecture, done.tensors) == ("llama", len(tensors))
    assert done.nbytes == 4 * parameters


def test_layers_that_differ_are_counted_one_by_one(tmp_path: Path) -> None:
    folder = pruned(tmp_path)
    export_gguf(folder, tmp_path / "m.gguf", "f32")
    keys, tensors = read(tmp_path / "m.gguf")
    assert keys["general.architecture"] == "deci"
    assert keys["deci.attention.head_count"] == [4, 2, 2, 4]
    assert keys["deci.attention.head_count_kv"] == [2, 1, 1, 2]
    assert keys["deci.feed_forward_length"] == [20, 10, 10, 20]
    assert keys["deci.attention.key_length"] == keys["deci.rope.dimension_count"] == 8
    assert tensors["blk.1.attn_q.weight"].shape == (16, 24)
    assert open_checkpoint(tmp_path / "m.gguf").parameters == open_checkpoint(folder).parameters


def test_a_tied_head_is_stored_once(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model", tie_word_embeddings=True)
    export_gguf(folder, tmp_path / "m.gguf", "f32")
    _, tensors = read(tmp_path / "m.gguf")
    assert "token_embd.weight" in tensors
    assert "output.weight" not in tensors


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_narrow_weights_are_written_as_they_are(tmp_path: Path, stored: torch.dtype) -> None:
    folder = tiny_folder(tmp_path / "model", dtype=stored)
    wanted = "bf16" if stored == torch.bfloat16 else "f16"
    export_gguf(folder, tmp_path / "m.gguf", wanted)
    _, tensors = read(tmp_path / "m.gguf")
    up = AutoModelForCausalLM.from_pretrained(folder, dtype=stored).model.layers[0].mlp.up_proj
    np.testing.assert_array_equal(
        tensors["blk.0.ffn_up.weight"], up.weight.detach().float().numpy()
    )


def test_q8_0_needs_whole_blocks_and_f16_takes_the_others(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model", hidden_size=32, intermediate_size=40)
    done = export_gguf(folder, tmp_path / "m.gguf", "q8_0")
    kinds = {t.name: t.tensor_type.name for t in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    assert kinds["blk.0.ffn_up.weight"] == "Q8_0"  # rows of 32
    assert kinds["blk.0.ffn_down.weight"] == "F16"  # rows of 40
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    assert done.types == {kind: list(kinds.values()).count(kind) for kind in set(kinds.values())}
    _, tensors = read(tmp_path / "m.gguf")
    up = AutoModelForCausalLM.from_pretrained(folder).model.layers[0].mlp.up_proj.weight
    # Half a step, a 127th of the largest of 32 weights; and the rounding of the scale, a float16
    # (2^-11), times at most 127 of them.
    step = up.detach().abs().amax(1, keepdim=True).numpy() / 127
    assert (
        np.abs(tensors["blk.0.ffn_up.weight"] - up.detach().numpy())
        <= (0.5 + 127 * 2**-11 + 1e-3) * step
    ).all()


def test_llama_3s_frequencies_are_those_of_transformers(tmp_path: Path) -> None:
    network = tiny_network(rope_parameters=LLAMA3)
    folder = tiny_folder(tmp_path / "model", network)
    export_gguf(folder, tmp_path / "m.gguf", "f32")
    keys, tensors = read(tmp_path / "m.gguf")
    assert keys["llama.rope.freq_base"] == 500000.0
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](network.config, torch.device("cpu"))
    plain = 1 / 500000.0 ** (torch.arange(0, 8, 2) / 8)
    np.testing.assert_allclose(tensors["rope_freqs.weight"], (plain / scaled).numpy(), rtol=1e-6)
    assert tensors["rope_freqs.weight"].max() == pytest.approx(8.0)


def test_llama_3s_frequencies_come_back_from_their_factors(tmp_path: Path) -> None:
    # As of every released Llama since 3.1: of the factors alone nobody could tell.
    rope = LLAMA3 | {"original_max_position_embeddings": 8192, "factor": 32.0}
    network = tiny_network(rope_parameters=rope)
    export_gguf(tiny_folder(tmp_path / "model", network), tmp_path / "m.gguf", "f32")
    convert(tmp_path / "m.gguf", tmp_path / "back")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "back")
    assert again.config.rope_parameters == network.config.rope_parameters
    ids = torch.arange(1, 200)[None]
    with torch.no_grad():
        assert torch.equal(again(ids).logits, network.eval()(ids).logits)


@pytest.mark.parametrize("factors", [[1, 1, 2, 9], [1, 2, 8, 4], [1, 1, 8]])
def test_other_factors_are_refused_as_no_scaling_that_has_a_name(
    tmp_path: Path, factors: list[float]
) -> None:
    weights = tiny_weights()[0] | {"rope_freqs.weight": np.array(factors, np.float32)}
    file = write_gguf(tmp_path / "m.gguf", weights, extra=add_tokenizer)
    with pytest.raises(CheckpointError, match=r"a RoPE scaling other than Llama 3\.1's"):
        convert(file, tmp_path / "out")


def test_the_tokenizer_comes_along(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model")
    export_gguf(folder, tmp_path / "m.gguf")
    keys, _ = read(tmp_path / "m.gguf")
    tokenizer = tiny_tokenizer()
    assert keys["tokenizer.ggml.model"] == "gpt2"
    assert keys["tokenizer.ggml.pre"] == "gpt-2"
    known = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    assert keys["tokenizer.ggml.tokens"][: len(known)] == known
    assert len(keys["tokenizer.ggml.tokens"]) == SHAPE["vocab_size"]
    assert keys["tokenizer.ggml.eos_token_id"] == tokenizer.eos_token_id


def joined_by_score(text: str, scores: dict[str, float]) -> list[str]:
    """SentencePiece's BPE: of all neighbours that are a token together, the highest score first."""
    pieces = list(text)
    while True:
        pairs = [
            (scores[a + b], -at) for at, (a, b) in enumerate(pairwise(pieces)) if a + b in scores
        ]
        if not pairs:
            return pieces
        at = -max(pairs)[1]
        pieces[at : at + 2] = ["".join(pieces[at : at + 2])]


@pytest.mark.parametrize("has_prefix", [True, False])
def test_sentencepieces_have_scores_that_join_them_as_their_merges_do(
    tmp_path: Path, has_prefix: bool
) -> None:
    tokenizer = sentencepieces(has_prefix)
    folder = tiny_folder(tmp_path / "model", vocab_size=720)
    tokenizer.save_pretrained(folder)
    export_gguf(folder, tmp_path / "m.gguf")
    keys, _ = read(tmp_path / "m.gguf")
    assert keys["tokenizer.ggml.model"] == "llama"
    assert keys["tokenizer.ggml.add_space_prefix"] is has_prefix
    # Unknown, two control tokens, bytes, text; and rows without a token.
    assert keys["tokenizer.ggml.token_type"][:4] == [2, 3, 3, 6]
    assert keys["tokenizer.ggml.token_type"][300] == 1
    assert keys["tokenizer.ggml.token_type"][-1] == 5
    tokens = keys["tokenizer.ggml.tokens"]
    scores = dict(zip(tokens, keys["tokenizer.ggml.scores"], strict=True))
    text = "the people of the constitution and the revolution began in the country"
    wanted = tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])
    prefix = "▁" if has_prefix else ""
    assert joined_by_score(prefix + text.replace(" ", "▁"), scores) == wanted
    # Score by score alike, the first pair would be joined first, and that is another cut.
    assert joined_by_score(prefix + text.replace(" ", "▁"), dict.fromkeys(scores, 0.0)) != wanted


def test_what_llama_cpp_would_compute_otherwise_is_refused(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "gelu")
    edit_json(folder / "config.json", {"hidden_act": "gelu"})
    with pytest.raises(PrunescopeError, match="silu"):
        export_gguf(folder, tmp_path / "m.gguf")
    folder = tiny_folder(tmp_path / "rope")
    edit_json(folder / "config.json", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}})
    with pytest.raises(PrunescopeError, match="RoPE scaling 'dynamic'"):
        export_gguf(folder, tmp_path / "m.gguf")
    assert not (tmp_path / "m.gguf").exists()


def test_an_unknown_way_to_split_text_must_be_named(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model")
    edit_json(folder / "tokenizer.json", {"pre_tokenizer": {"type": "Whitespace"}})
    with pytest.raises(PrunescopeError, match="--tokenizer_pre"):
        export_gguf(folder, tmp_path / "m.gguf")
    export_gguf(folder, tmp_path / "m.gguf", tokenizer_pre="qwen2")
    assert read(tmp_path / "m.gguf")[0]["tokenizer.ggml.pre"] == "qwen2"


def test_an_earlier_file_outlives_a_failure(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model")
    target = tmp_path / "m.gguf"
    target.write_bytes(b"earlier")
    edit_weights(folder, {"model.layers.2.mlp.up_proj.weight": None})
    with pytest.raises(PrunescopeError, match=r"model\.layers\.2\.mlp\.up_proj\.weight"):
        export_gguf(folder, target, overwrite=True)
    with pytest.raises(PrunescopeError, match="--overwrite"):
        export_gguf(folder, target)
    assert target.read_bytes() == b"earlier"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.gguf", "model"]


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"max_position_embeddings": 1 << 32}, "max_position_embeddings is 4294967296"),
        ({"rms_norm_eps": 10**400}, "rms_norm_eps is 1000"),
        ({"rope_theta": 1e300}, r"rope_theta is 1e\+300"),
        ({"rope_scaling": {"type": "linear", "factor": 1e300}}, r"factor is 1e\+300"),
        ({"rope_scaling": {"rope_type": ["llama3"]}}, "no place for RoPE scaling"),
        ({"rope_scaling": LLAMA3 | {"high_freq_factor": 1.0}}, "not below high_freq_factor"),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_what_no_key_has_room_for_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], cause: str
) -> None:
    folder = tiny_folder(tmp_path / "m")
    edit_json(folder / "config.json", {"rope_parameters": None} | changes)
    with pytest.raises(PrunescopeError, match=cause):
        export_gguf(folder, tmp_path / "m.gguf")
    assert not (tmp_path / "m.gguf").exists()


def test_a_context_with_a_fraction_is_the_whole_number_below(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m")
    edit_json(folder / "config.json", {"max_position_embeddings": 200.5})
    export_gguf(folder, tmp_path / "m.gguf")
    assert read(tmp_path / "m.gguf")[0]["llama.context_length"] == 200
