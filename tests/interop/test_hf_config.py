"""Layers that are alike have a stock config; layers that differ one that transformers describes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import prunescope
from prunescope.architecture.head_counts import takes_heads
from prunescope.interop.hf_config import GLOBAL_ACCESS, PER_LAYER, config_for, uniform
from tests.support.gguf_families import folder_of
from tests.support.pruning import described, plan, prune_tiny
from tests.support.tiny import SHAPE, edit_json, tiny_folder, tiny_model
from tests.support.verify import codes, verified

Lengths = dict[tuple[int, str], int]
WHOLE = {"heads": 4, "kv_heads": 2, "channels": 20}
KEYS = ("num_attention_heads", "num_key_value_heads", "intermediate_size")
TOKENS = torch.arange(3, 63, 2)[None]


def lengths(changes: Mapping[int, Mapping[str, int]]) -> Lengths:
    """Of four layers, some of which have lost something."""
    return {
        (layer, space): n
        for layer in range(4)
        for space, n in (WHOLE | changes.get(layer, {})).items()
    }


def everywhere(**left: int) -> Lengths:
    """Of four layers that are alike."""
    return lengths(dict.fromkeys(range(4), left))


def stored(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def read_back(folder: Path, config: Mapping[str, Any]) -> Any:
    """`config` as transformers reads it from a file."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return AutoConfig.from_pretrained(folder)


# --- layers that are alike ----------------------------------------------------------------


def test_a_model_as_it_was_has_its_own_config(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    assert config_for(model, everywhere()) == stored(tmp_path)


def test_layers_that_are_alike_differ_from_the_original_in_three_numbers(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    assert config_for(model, everywhere(heads=2, kv_heads=1, channels=7)) == stored(tmp_path) | {
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 7,
    }


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_a_model_pruned_alike_in_all_layers_is_a_stock_model(tmp_path: Path, family: str) -> None:
    tiny_folder(tmp_path / "whole", family=family)
    every = plan(attention=(0, 4), mlp=(0, 4))
    prune_tiny(described(tmp_path / "whole"), every).save(tmp_path / "pruned")
    config = stored(tmp_path / "pruned")
    assert [config[key] for key in KEYS] == [2, 1, 10]
    assert config["head_dim"] == 8
    assert not {PER_LAYER, GLOBAL_ACCESS} & config.keys()
    theirs, report = AutoModelForCausalLM.from_pretrained(
        tmp_path / "pruned", output_loading_info=True
    )
    assert not any(report.values())
    with torch.no_grad():
        expected = theirs.eval()(input_ids=TOKENS).logits
        found = prunescope.load(tmp_path / "pruned")(input_ids=TOKENS).logits
    assert torch.equal(found, expected)


def test_the_head_size_is_stated_where_it_followed_from_the_head_count(tmp_path: Path) -> None:
    # 24 // 4 = 6 rows a head; with 2 heads left 24 // 2 would be 12.
    tiny_folder(tmp_path, head_dim=None)
    edit_json(tmp_path / "config.json", {"head_dim": None})
    config = config_for(described(tmp_path), everywhere(heads=2, kv_heads=1))
    assert config["head_dim"] == 6


def test_what_a_pruned_model_said_of_its_layers_is_forgotten_once_they_are_alike(
    tmp_path: Path,
) -> None:
    tiny_folder(tmp_path)
    said = {PER_LAYER: {"1": {"intermediate_size": 3}}, GLOBAL_ACCESS: True}
    edit_json(tmp_path / "config.json", said)
    expected = {key: value for key, value in stored(tmp_path).items() if key not in said}
    assert config_for(described(tmp_path), everywhere()) == expected


# --- layers that differ -------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_layers_that_differ_are_a_sparse_map_that_transformers_reads(
    tmp_path: Path, family: str
) -> None:
    model = tiny_model(tmp_path / "m", family=family)
    config = config_for(
        model, lengths({1: {"heads": 2, "kv_heads": 1, "channels": 7}, 3: {"channels": 9}})
    )
    assert config == stored(tmp_path / "m") | {
        PER_LAYER: {
            "1": {"num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 7},
            "3": {"intermediate_size": 9},
        },
        GLOBAL_ACCESS: True,
    }
    read = read_back(tmp_path / "read", config)
    layers = [read.per_layer_config[n] for n in range(4)]
    assert [tuple(getattr(layer, key) for key in KEYS) for layer in layers] == [
        (4, 2, 20),
        (2, 1, 7),
        (4, 2, 20),
        (4, 2, 9),
    ]
    assert {layer.head_dim for layer in layers} == {8}
    # Written and read by transformers itself it says the same.
    read.save_pretrained(tmp_path / "again")
    assert stored(tmp_path / "again")[PER_LAYER] == config[PER_LAYER]


def test_a_head_count_that_does_not_divide_the_hidden_size_is_said_of_the_layers(
    tmp_path: Path,
) -> None:
    # Without GQA, 3 of 4 heads are left in every layer: 20 % 3 is what Llama's config refuses.
    model = tiny_model(tmp_path / "m", hidden_size=20, num_key_value_heads=4)
    config = config_for(model, everywhere(heads=3, kv_heads=3))
    assert [config[key] for key in KEYS] == [4, 4, 20]
    three = {"num_attention_heads": 3, "num_key_value_heads": 3}
    assert config[PER_LAYER] == {str(layer): three for layer in range(4)}
    read = read_back(tmp_path / "read", config)
    assert [read.per_layer_config[n].num_attention_heads for n in range(4)] == [3] * 4


def test_a_model_that_states_no_kv_heads_has_as_many_as_heads(tmp_path: Path) -> None:
    tiny_folder(tmp_path / "m", num_key_value_heads=4)
    edit_json(tmp_path / "m" / "config.json", {"num_key_value_heads": None})
    lost = {n: {"heads": 4, "kv_heads": 4} for n in range(4)} | {0: {"heads": 1, "kv_heads": 1}}
    config = config_for(described(tmp_path / "m"), lengths(lost))
    assert config["num_key_value_heads"] == 4
    assert config[PER_LAYER] == {"0": {"num_attention_heads": 1, "num_key_value_heads": 1}}
    assert read_back(tmp_path / "read", config).per_layer_config[0].num_key_value_heads == 1


def test_the_config_describes_the_shapes_in_the_file(tmp_path: Path) -> None:
    whole = described(tiny_folder(tmp_path / "whole"))
    pruned = prune_tiny(whole, plan(attention=(0, 2), mlp=(1, 4)))
    pruned.save(tmp_path / "pruned")
    read = AutoConfig.from_pretrained(tmp_path / "pruned")
    state = torch.load(tmp_path / "pruned" / "pytorch_model.bin", weights_only=True)
    for n in range(4):
        layer, prefix = read.per_layer_config[n], f"model.layers.{n}."
        q, k = (state[f"{prefix}self_attn.{part}_proj.weight"] for part in "qk")
        assert q.shape == (layer.num_attention_heads * layer.head_dim, read.hidden_size)
        assert k.shape == (layer.num_key_value_heads * layer.head_dim, read.hidden_size)
        up = state[f"{prefix}mlp.up_proj.weight"]
        assert up.shape == (layer.intermediate_size, read.hidden_size)


# --- parts --------------------------------------------------------------------------------


def test_uniform_leaves_out_what_is_said_of_single_layers() -> None:
    assert uniform({"a": 1, PER_LAYER: {"0": {}}, GLOBAL_ACCESS: True}, "m") == {"a": 1}


@pytest.mark.parametrize(
    ("heads", "hidden", "taken"),
    [(4, 24, True), (3, 24, True), (5, 24, False), (7, 4096, False), (None, 24, True)],
)
def test_llamas_take_heads_that_divide_the_hidden_size(
    heads: int | None, hidden: int, taken: bool
) -> None:
    assert takes_heads({"num_attention_heads": heads, "hidden_size": hidden}) is taken


def test_a_gemma2_with_heads_that_do_not_divide_its_hidden_size_loads(tmp_path: Path) -> None:
    # 6 of 8 heads of 8 rows, on 32 hidden.
    counts = {"hidden_size": 32, "num_attention_heads": 8, "num_key_value_heads": 4}
    base = described(folder_of("gemma2", tmp_path / "base", **counts))
    prune_tiny(base, plan(ratio=0.25, attention=(0, 4), mlp=(0, 4))).save(tmp_path / "hf", "hf")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "hf", trust_remote_code=True)
    assert theirs.model.layers[1].self_attn.q_proj.weight.shape == (48, 32)
    with torch.no_grad():
        ours = prunescope.load(tmp_path / "hf")(TOKENS).logits
        torch.testing.assert_close(theirs(TOKENS).logits, ours)


def test_a_long_phi3_keeps_its_rope_when_all_layers_lose_as_many_heads(tmp_path: Path) -> None:
    """Its config holds the factors against hidden size / heads, not against `head_dim`."""
    shape = SHAPE | {"hidden_size": 32, "original_max_position_embeddings": 64, "pad_token_id": 0}
    del shape["head_dim"]
    factors = {"short_factor": [1.0, 1.5, 2.0, 2.5], "long_factor": [2.0, 3.0, 4.0, 5.0]}
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, **factors}
    config = AutoConfig.for_model("phi3", **shape, rope_parameters=rope)
    network = AutoModelForCausalLM.from_config(config).eval()
    base = described(tiny_folder(tmp_path / "base", network))
    assert takes_heads(base.config)
    prune_tiny(base, plan("l1", attention=(0, 4), mlp=(0, 4))).save(tmp_path / "hf", "hf")
    alike = {PER_LAYER: None, "auto_map": None, "num_attention_heads": 2, "num_key_value_heads": 1}
    assert not takes_heads(base.config | alike)

    assert codes(verified(tmp_path / "hf"), "transformers", "warn") == {"heads_need_code"}
    record = json.loads((tmp_path / "hf" / "pruning.json").read_text())["layers"]
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "hf", trust_remote_code=True)
    with torch.no_grad():
        for number, layer in enumerate(network.model.layers):
            gone = set(range(4)) - set(record[str(number)]["attention"]["kept"]["heads"])
            for head in gone:
                layer.self_attn.o_proj.weight[:, 8 * head : 8 * head + 8] = 0
            idle = set(range(20)) - set(record[str(number)]["mlp"]["kept"]["channels"])
            layer.mlp.down_proj.weight[:, sorted(idle)] = 0
        expected = network(TOKENS).logits
        torch.testing.assert_close(theirs(TOKENS).logits, expected)
        torch.testing.assert_close(prunescope.load(tmp_path / "hf")(TOKENS).logits, expected)
