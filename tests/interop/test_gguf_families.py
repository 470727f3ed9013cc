"""Each family lies in a GGUF file as llama.cpp's architecture of its kind wants it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, Olmo2Config

from prunescope.errors import ArchitectureError, CheckpointError
from prunescope.interop.gguf_export import export_gguf
from tests.interop.test_gguf_export import read, rotated
from tests.support.gguf_families import CONFIGS, LONGROPE, YARN, folder_of, halved, network_of
from tests.support.pruning import edit_weights, store_as_torch
from tests.support.tiny import SHAPE, edit_json, tiny_folder
from tests.support.verify import check, codes, verified

LAYER = "model.layers.1."


def refused(folder: Path, cause: str) -> None:
    """It is not written, and `verify`, which goes by the same judgement, says so beforehand."""
    with pytest.raises(ArchitectureError, match=cause) as caught:
        export_gguf(folder, folder / "m.gguf")
    assert not (folder / "m.gguf").exists()
    noted = check(verified(folder), "llama.cpp")
    assert noted.verdict == "warn"
    said = {one.code: str(one.values.get("cause")) for one in noted.findings}
    assert "partly_rotated" in said or f"{folder}: {said['not_written']}" == str(caught.value)


def test_qwen2_keeps_its_rows_where_its_heads_fill_the_hidden_size(tmp_path: Path) -> None:
    folder = folder_of("qwen2", tmp_path / "model")
    assert export_gguf(folder, tmp_path / "m.gguf", "f32").architecture == "qwen2"
    keys, found = read(tmp_path / "m.gguf")
    ours = load_file(folder / "model.safetensors")
    for theirs, name in (("attn_q", "q_proj"), ("attn_k", "k_proj"), ("attn_v", "v_proj")):
        for kind in ("weight", "bias"):
            np.testing.assert_array_equal(
                found[f"blk.1.{theirs}.{kind}"], ours[f"{LAYER}self_attn.{name}.{kind}"]
            )
    assert keys["qwen2.attention.head_count"] == 4
    assert sum(each.size for each in found.values()) == sum(each.size for each in ours.values())


@pytest.mark.parametrize(
    ("layers", "architecture", "heads", "permuted"),
    [((0, 4), "llama", 2, (0, 2)), ((1, 3), "deci", [4, 2, 2, 4], (1, 2))],
    ids=["even", "uneven"],
)
def test_a_qwen2_of_other_widths_is_a_llama_with_biases(
    tmp_path: Path,
    layers: tuple[int, int],
    architecture: str,
    heads: int | list[int],
    permuted: tuple[int, int],
) -> None:
    folder = halved(folder_of("qwen2", tmp_path / "whole"), tmp_path / "pruned", *layers)
    assert export_gguf(folder, tmp_path / "m.gguf", "f32").architecture == architecture
    keys, found = read(tmp_path / "m.gguf")
    assert keys[f"{architecture}.attention.head_count"] == heads
    ours = load_file(folder / "model.safetensors")
    layer, count = permuted
    for kind in ("weight", "bias"):
        name = f"model.layers.{layer}.self_attn.q_proj.{kind}"
        np.testing.assert_array_equal(
            found[f"blk.{layer}.attn_q.{kind}"], rotated(ours[name], count)
        )


def test_gemma2_has_its_norms_scales_and_windows(tmp_path: Path) -> None:
    folder = folder_of("gemma2", tmp_path / "model")
    assert export_gguf(folder, tmp_path / "m.gguf", "f32").architecture == "gemma2"
    keys, found = read(tmp_path / "m.gguf")
    ours = load_file(folder / "model.safetensors")
    norms = {
        "blk.1.attn_norm": f"{LAYER}input_layernorm",
        "blk.1.post_attention_norm": f"{LAYER}post_attention_layernorm",
        "blk.1.ffn_norm": f"{LAYER}pre_feedforward_layernorm",
        "blk.1.post_ffw_norm": f"{LAYER}post_feedforward_layernorm",
        "output_norm": "model.norm",
    }
    for theirs, name in norms.items():
        np.testing.assert_array_equal(found[f"{theirs}.weight"], ours[f"{name}.weight"] + 1)
    # llama.cpp divides the scores by the root of the head's 8 rows, the model by that of 20.
    np.testing.assert_allclose(
        found["blk.1.attn_q.weight"],
        ours[f"{LAYER}self_attn.q_proj.weight"] * math.sqrt(8 / 20),
        rtol=1e-6,
    )
    np.testing.assert_array_equal(
        found["blk.1.attn_k.weight"], ours[f"{LAYER}self_attn.k_proj.weight"]
    )
    assert keys["gemma2.attn_logit_softcapping"] == 3.0
    assert keys["gemma2.final_logit_softcapping"] == 5.0
    assert keys["gemma2.attention.sliding_window"] == 16
    assert keys["gemma2.attention.sliding_window_pattern"] == [True, False, True, False]
    assert "output.weight" not in found


def test_a_gemma2_without_windows_has_some_that_leave_nothing_out(tmp_path: Path) -> None:
    # llama.cpp ends with a failed assertion where no layer has one.
    kinds = ["full_attention"] * 4
    export_gguf(folder_of("gemma2", tmp_path / "model", layer_types=kinds), tmp_path / "m.gguf")
    keys, _ = read(tmp_path / "m.gguf")
    assert keys["gemma2.attention.sliding_window_pattern"] == [True] * 4
    assert keys["gemma2.attention.sliding_window"] == keys["gemma2.context_length"] == 256


def test_gemma2_27b_is_scaled_as_llama_cpp_knows_it_by_its_depth(tmp_path: Path) -> None:
    changes = {"num_hidden_layers": 46, "num_attention_heads": 2, "query_pre_attn_scalar": 12}
    folder = folder_of("gemma2", tmp_path / "model", **changes)
    export_gguf(folder, tmp_path / "m.gguf", "f32")
    _, found = read(tmp_path / "m.gguf")
    ours = load_file(folder / "model.safetensors")
    # 24 hidden over 2 heads is the model's own 12.
    np.testing.assert_array_equal(
        found["blk.1.attn_q.weight"], ours[f"{LAYER}self_attn.q_proj.weight"]
    )


def test_phi3_stays_fused_where_its_heads_fill_the_hidden_size(tmp_path: Path) -> None:
    folder = folder_of("phi3", tmp_path / "model")
    assert export_gguf(folder, tmp_path / "m.gguf", "f32").architecture == "phi3"
    keys, found = read(tmp_path / "m.gguf")
    ours = load_file(folder / "model.safetensors")
    np.testing.assert_array_equal(
        found["blk.1.attn_qkv.weight"], ours[f"{LAYER}self_attn.qkv_proj.weight"]
    )
    np.testing.assert_array_equal(
        found["blk.1.ffn_up.weight"], ours[f"{LAYER}mlp.gate_up_proj.weight"]
    )
    assert keys["phi3.rope.dimension_count"] == 6
    assert keys["phi3.attention.sliding_window"] == 0


def test_a_pruned_phi3_is_a_llama_with_its_fused_rows_apart(tmp_path: Path) -> None:
    folder = halved(folder_of("phi3", tmp_path / "whole"), tmp_path / "pruned", 1, 3)
    assert export_gguf(folder, tmp_path / "m.gguf", "f32").architecture == "deci"
    keys, found = read(tmp_path / "m.gguf")
    ours = load_file(folder / "model.safetensors")
    # Layer 1: 2 heads, 1 KV head of 6 rows each; 10 channels.
    qkv, gate_up = (
        ours[f"{LAYER}self_attn.qkv_proj.weight"],
        ours[f"{LAYER}mlp.gate_up_proj.weight"],
    )
    assert (len(qkv), len(gate_up)) == (24, 20)
    np.testing.assert_array_equal(found["blk.1.attn_q.weight"], rotated(qkv[:12], 2))
    np.testing.assert_array_equal(found["blk.1.attn_k.weight"], rotated(qkv[12:18], 1))
    np.testing.assert_array_equal(found["blk.1.attn_v.weight"], qkv[18:])
    np.testing.assert_array_equal(found["blk.1.ffn_gate.weight"], gate_up[:10])
    np.testing.assert_array_equal(found["blk.1.ffn_up.weight"], gate_up[10:])
    assert keys["deci.feed_forward_length"] == [20, 10, 10, 20]
    assert sum(each.size for each in found.values()) == sum(each.size for each in ours.values())


def test_longrope_has_its_factors_and_its_scale(tmp_path: Path) -> None:
    export_gguf(folder_of("phi3 long", tmp_path / "model"), tmp_path / "m.gguf", "f16")
    keys, found = read(tmp_path / "m.gguf")
    assert found["rope_factors_long.weight"].tolist() == LONGROPE["long_factor"]
    assert found["rope_factors_short.weight"].tolist() == LONGROPE["short_factor"]
    assert keys["phi3.rope.scaling.type"] == "longrope"
    assert keys["phi3.rope.scaling.original_context_length"] == 256
    # 1024 tokens are 4 times 256: the root of 1 + log(4) / log(256), which is 1/4.
    assert keys["phi3.rope.scaling.attn_factor"] == pytest.approx(math.sqrt(1.25))


@pytest.mark.parametrize("factors", [[1.0, 2.0], None, "1.0", [1.0, 2.0, "3"], [1.0, 0.0, 1.0]])
def test_longrope_without_a_factor_for_each_frequency_is_refused(
    tmp_path: Path, factors: object
) -> None:
    folder = folder_of("phi3 long", tmp_path / "model")
    edit_json(folder / "config.json", {"rope_parameters": LONGROPE | {"long_factor": factors}})
    refused(folder, "RoPE long_factor is no list of 3 numbers")


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"beta_fast": 8}, "beta_fast 8"),
        ({"beta_slow": "2"}, "beta_slow '2'"),
        ({"truncate": False}, "truncate False"),
        ({"attention_factor": 2.0}, r"attention_factor 2\.0"),
        ({"mscale": 1.0, "mscale_all_dim": 1.0}, r"mscale 1\.0"),
    ],
)
def test_a_yarn_that_llama_cpp_has_no_keys_for_is_refused(
    tmp_path: Path, settings: dict[str, object], key: str
) -> None:
    folder = folder_of("qwen3 yarn", tmp_path / "model")
    edit_json(folder / "config.json", {"rope_parameters": YARN | settings})
    refused(folder, f"llama.cpp computes YaRN without {key} of")


def test_a_yarn_that_states_the_usual_is_written(tmp_path: Path) -> None:
    # 1 + log(4) / 10, by the paper.
    usual = {"beta_fast": 32.0, "beta_slow": 1, "truncate": True, "mscale": 1.0,
             "attention_factor": 1.1386294361}  # fmt: skip
    folder = folder_of("qwen3", tmp_path / "model", rope_parameters=YARN | usual)
    export_gguf(folder, tmp_path / "m.gguf")
    keys, _ = read(tmp_path / "m.gguf")
    assert keys["qwen3.rope.scaling.type"] == "yarn"
    assert keys["qwen3.rope.scaling.factor"] == 4.0
    assert keys["qwen3.rope.scaling.original_context_length"] == 64


@pytest.mark.parametrize(
    "name", ["qwen2", "qwen3", "gemma2", "mixtral", "qwen2_moe", "qwen3_moe", "phi3"]
)
def test_what_a_config_leaves_out_is_what_transformers_takes(tmp_path: Path, name: str) -> None:
    folder = folder_of(name, tmp_path / "model")
    edit_json(folder / "config.json", {"rms_norm_eps": None, "rope_parameters": None})
    architecture = export_gguf(folder, tmp_path / "m.gguf").architecture
    keys, _ = read(tmp_path / "m.gguf")
    taken = CONFIGS[name][0]()
    epsilon, base = (
        keys[f"{architecture}.{key}"]
        for key in ("attention.layer_norm_rms_epsilon", "rope.freq_base")
    )
    assert epsilon == pytest.approx(taken.rms_norm_eps)
    assert base == taken.rope_parameters["rope_theta"]


EXPERTS = {
    "mixtral": ("llama", "block_sparse_moe", ("w1", "w3", "w2"), 20),
    "qwen2_moe": ("qwen2moe", "mlp", ("gate_proj", "up_proj", "down_proj"), 16),
    "qwen3_moe": ("qwen3moe", "mlp", ("gate_proj", "up_proj", "down_proj"), 16),
}


@pytest.mark.parametrize("name", EXPERTS)
def test_experts_lie_in_one_tensor_in_their_order(tmp_path: Path, name: str) -> None:
    architecture, block, projections, channels = EXPERTS[name]
    folder = folder_of(name, tmp_path / "model")
    done = export_gguf(folder, tmp_path / "m.gguf", "f16")
    assert done.architecture == architecture
    keys, found = read(tmp_path / "m.gguf")
    ours = load_file(folder / "model.safetensors")
    for theirs, projection in zip(("gate", "up", "down"), projections, strict=True):
        stacked = found[f"blk.1.ffn_{theirs}_exps.weight"]
        for expert in range(6):
            stored = ours[f"{LAYER}{block}.experts.{expert}.{projection}.weight"]
            np.testing.assert_array_equal(stacked[expert], stored.astype(np.float16))
    # What chooses experts is not rounded.
    np.testing.assert_array_equal(
        found["blk.1.ffn_gate_inp.weight"], ours[f"{LAYER}{block}.gate.weight"]
    )
    assert (keys[f"{architecture}.expert_count"], keys[f"{architecture}.expert_used_count"]) == (
        6, 2
    )  # fmt: skip
    each = "expert_feed_forward_length" if "moe" in architecture else "feed_forward_length"
    assert keys[f"{architecture}.{each}"] == channels
    assert sum(each.size for each in found.values()) == sum(each.size for each in ours.values())
    assert done.nbytes == sum(
        each.data.nbytes for each in gguf.GGUFReader(tmp_path / "m.gguf").tensors
    )


def test_experts_as_transformers_has_them_in_memory_are_taken_too(tmp_path: Path) -> None:
    network = network_of("mixtral")
    folder = tiny_folder(tmp_path / "model", network)
    export_gguf(folder, tmp_path / "files.gguf", "q8_0")
    store_as_torch(folder, network.state_dict())
    export_gguf(folder, tmp_path / "memory.gguf", "q8_0")
    one, other = read(tmp_path / "files.gguf")[1], read(tmp_path / "memory.gguf")[1]
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])


def test_a_layer_without_experts_has_no_place_beside_those_with_them(tmp_path: Path) -> None:
    folder = folder_of("qwen3_moe", tmp_path / "model", mlp_only_layers=[2])
    with pytest.raises(ArchitectureError, match="layer 2 has no experts"):
        export_gguf(folder, tmp_path / "m.gguf")


def test_an_expert_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = folder_of("mixtral", tmp_path / "model")
    lost = f"{LAYER}block_sparse_moe.experts.3.w2.weight"
    edit_weights(folder, {lost: None})
    with pytest.raises(CheckpointError, match=f"tensor '{lost}' is missing"):
        export_gguf(folder, tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"rope_parameters": LONGROPE | {"original_max_position_embeddings": 1}}, "of 1 tokens"),
        ({"rope_parameters": LONGROPE | {"factor": "4"}}, "factor is '4'"),
        ({"max_position_embeddings": "1k"}, "max_position_embeddings is '1k'"),
    ],
)
def test_longrope_without_a_scale_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, object], cause: str
) -> None:
    folder = folder_of("phi3 long", tmp_path / "model")
    edit_json(folder / "config.json", changes)
    refused(folder, cause)


@pytest.mark.parametrize("name", ["qwen3", "gemma2", "mixtral", "qwen2_moe", "qwen3_moe"])
def test_layers_that_differ_are_to_be_padded_where_llama_cpp_takes_one_shape(
    tmp_path: Path, name: str
) -> None:
    folder = halved(folder_of(name, tmp_path / "whole"), tmp_path / "pruned", 1, 3)
    with pytest.raises(ArchitectureError, match=r"llama\.cpp's \w+ takes one shape.*--uniform"):
        export_gguf(folder, tmp_path / "m.gguf")
    assert not (tmp_path / "m.gguf").exists()


@pytest.mark.parametrize(
    ("name", "changes", "cause"),
    [
        ("qwen3", {"head_dim": 7}, "does not give an even head_dim"),
        ("qwen3", {"rope_parameters": {"rope_type": "dynamic"}}, "RoPE scaling 'dynamic'"),
        ("qwen3", {"rope_parameters": {"rope_type": "linear"}}, "RoPE factor is None"),
        ("qwen3", {"rope_theta": -1, "rope_parameters": None}, "RoPE rope_theta is -1"),
        ("qwen3", {"rms_norm_eps": 0}, "rms_norm_eps is 0"),
        ("qwen2", {"hidden_act": "gelu"}, "hidden_act 'silu', not 'gelu'"),
        ("gemma2", {"hidden_activation": "relu"}, "hidden_activation 'gelu_pytorch_tanh', not"),
        ("gemma2", {"use_bidirectional_attention": True}, "_attention None, not True"),
        ("qwen3", {"is_causal": False}, r"config\.json \(is_causal\) has them see all"),
        ("qwen3_moe", {"norm_topk_prob": None}, "norm_topk_prob True, not None"),
        ("qwen2_moe", {"norm_topk_prob": True}, "norm_topk_prob False, not True"),
        ("mixtral", {"num_experts_per_tok": "all"}, "num_experts_per_tok is 'all'"),
        ("gemma2", {"final_logit_softcapping": None}, "final_logit_softcapping is None"),
        ("gemma2", {"query_pre_attn_scalar": -1}, "query_pre_attn_scalar is -1"),
        ("phi3", {"sliding_window": "wide"}, "sliding_window is 'wide'"),
        (
            "qwen3",
            {"rope_parameters": {"partial_rotary_factor": 0.5}},
            "qwen3 rotates all rows of a head",
        ),
        (
            "phi3",
            {"rope_parameters": {"partial_rotary_factor": 2.0}},
            "does not tell how many rows are rotated",
        ),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_refused(
    tmp_path: Path, name: str, changes: dict[str, object], cause: str
) -> None:
    folder = folder_of(name, tmp_path / "model")
    edit_json(folder / "config.json", changes)
    refused(folder, cause)


def test_a_head_of_its_own_has_no_place_in_gemma2(tmp_path: Path) -> None:
    folder = folder_of("gemma2", tmp_path / "model", tie_word_embeddings=False)
    refused(folder, r"gemma2 has no place for .* 'lm_head.weight'")


def test_heads_rotated_in_part_must_fill_the_hidden_size(tmp_path: Path) -> None:
    whole = folder_of("phi3 partly rotated", tmp_path / "whole")
    export_gguf(whole, tmp_path / "m.gguf")
    assert read(tmp_path / "m.gguf")[0]["phi3.rope.dimension_count"] == 4
    folder = halved(whole, tmp_path / "pruned", 0, 4)
    with pytest.raises(ArchitectureError, match="heads that fill the hidden size alone"):
        export_gguf(folder, tmp_path / "p.gguf")


def test_families_that_are_not_written_are_told_which_are(tmp_path: Path) -> None:
    olmo = AutoModelForCausalLM.from_config(Olmo2Config(**SHAPE | {"pad_token_id": 0}))
    with pytest.raises(ArchitectureError, match=r"qwen3, qwen3_moe, not .*'olmo2'"):
        export_gguf(tiny_folder(tmp_path / "model", olmo), tmp_path / "m.gguf")
    assert codes(verified(tmp_path / "model"), "llama.cpp", "skip") == {"convert_theirs"}


def test_a_null_is_no_number(tmp_path: Path) -> None:
    # Of Phi-3 another epsilon than the usual goes without saying, where there is no such key.
    path = folder_of("phi3", tmp_path) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rms_norm_eps": None}))
    refused(tmp_path, "rms_norm_eps is None")


def test_weights_of_a_type_that_is_not_read_are_named(tmp_path: Path) -> None:
    folder = folder_of("qwen3", tmp_path / "model")
    name = f"{LAYER}mlp.up_proj.weight"
    edit_weights(folder, {name: torch.zeros(20, 24, dtype=torch.int16)})
    refused(folder, f"tensor '{name}' is I16, which GGUF export cannot read")


def test_a_model_without_a_config_is_not_passed(tmp_path: Path) -> None:
    folder = folder_of("qwen3", tmp_path)
    edit_json(folder / "config.json", {"model_type": None})
    with pytest.raises(ArchitectureError, match="not model_type None"):
        export_gguf(folder, tmp_path / "m.gguf")
    assert "needs_config" in codes(verified(folder), "llama.cpp", "warn")
