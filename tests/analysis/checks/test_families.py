"""Faults of fused projections, experts and layers of several kinds are found where they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from prunescope.analysis.trace.run import trace
from prunescope.analysis.verify import Verification, verify
from prunescope.checkpoint import open_checkpoint
from tests.support.families import MODELS, family_folder
from tests.support.pruning import edit_weights
from tests.support.verify import codes, failed

Cut = Callable[[torch.Tensor], torch.Tensor]
L1 = "model.layers.1."


def changed(name: str, folder: Path, changes: Mapping[str, Cut | None]) -> Verification:
    """A model of the family `name` with some tensors changed (None: left out), beside itself."""
    original = family_folder(name, folder / "original")
    family_folder(name, folder / "changed")
    state = load_file(original / "model.safetensors")
    edits = {n: cut and cut(state[n]).contiguous() for n, cut in changes.items()}
    edit_weights(folder / "changed", edits)
    return verify(open_checkpoint(folder / "changed"), open_checkpoint(original))


def test_a_fused_projection_that_lost_fewer_rows_than_the_others(tmp_path: Path) -> None:
    # 28 channels left of 56, but only 50 rows of gate and up.
    found = changed("phi3", tmp_path, {
        L1 + "mlp.gate_up_proj.weight": lambda w: w[:100],
        L1 + "mlp.down_proj.weight": lambda w: w[:, :28],
    })  # fmt: skip
    assert "axes" in failed(found)
    (finding,) = next(c for c in found.checks if c.name == "axes").findings
    assert finding.values["lengths"] == "28: mlp.down_proj.weight; 50: mlp.gate_up_proj.weight"


def test_a_fused_projection_that_lost_whole_heads(tmp_path: Path) -> None:
    # One of two KV heads of 8 rows, and two of four query heads: q, k, v are 16 + 8 + 8 rows.
    found = changed("phi3", tmp_path, {
        L1 + "self_attn.qkv_proj.weight": lambda w: torch.cat([w[:16], w[32:40], w[48:56]]),
        L1 + "self_attn.o_proj.weight": lambda w: w[:, :16],
    })  # fmt: skip
    # Nothing is wrong but what config.json says, and what engines make of it.
    assert failed(found) == {"config"}


def test_a_transposed_weight_is_held_against_the_right_axis(tmp_path: Path) -> None:
    found = changed("gpt2", tmp_path, {"transformer.h.1.mlp.c_fc.weight": lambda w: w[:, :40]})
    assert codes(found, "axes") == {"lengths_differ"}


def test_one_expert_that_does_not_fit_is_named(tmp_path: Path) -> None:
    expert = L1 + "block_sparse_moe.experts.3."
    found = changed("mixtral", tmp_path, {expert + "w1.weight": lambda w: w[:40]})
    (finding,) = next(c for c in found.checks if c.name == "axes").findings
    assert (finding.layers, finding.values["space"]) == ((1,), "expert_channels[3]")


def test_a_missing_expert_is_missed_alone_too(tmp_path: Path) -> None:
    gone = {f"model.layers.{n}.block_sparse_moe.experts.5.w2.weight": None for n in range(3)}
    changed("mixtral", tmp_path, gone)
    found = verify(open_checkpoint(tmp_path / "changed"))
    (finding,) = next(c for c in found.checks if c.name == "tensors").findings
    assert (finding.code, finding.layers) == ("missing", (0, 1, 2))
    assert finding.values["tensor"] == "block_sparse_moe.experts.5.w2.weight"


def test_a_layer_lacks_what_its_kind_has(tmp_path: Path) -> None:
    gone: dict[str, Cut | None] = {
        L1 + "self_attn.v_proj.weight": None,
        "model.layers.2.mamba.D": None,
    }
    changed("jamba", tmp_path, gone)
    found = verify(open_checkpoint(tmp_path / "changed"))
    missing = next(c for c in found.checks if c.name == "tensors").findings
    assert {(f.layers, f.values["tensor"]) for f in missing} == {
        ((1,), "self_attn.v_proj.weight"), ((2,), "mamba.D"),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["phi3", "gpt2", "mixtral", "qwen3_moe", "falcon new", "t5"])
def test_a_model_traced_to_itself_is_whole(name: str, tmp_path: Path) -> None:
    assert name in MODELS
    checkpoint = open_checkpoint(family_folder(name, tmp_path))
    found = trace(checkpoint, checkpoint)
    for layer in found.layers:
        assert layer.spaces
        for space in layer.spaces.values():
            assert space.kept == tuple(range(space.original))
            assert all(member.identical for member in space.members)


def test_a_config_cannot_claim_more_experts_than_all_layers_together_have(tmp_path: Path) -> None:
    layers = 1000
    names = [f"model.layers.{n}.mlp.experts.0.up_proj.weight" for n in range(layers)]
    save_file({name: torch.zeros(1, 1) for name in names}, tmp_path / "model.safetensors")
    config = {"model_type": "qwen3_moe", "num_experts": 4096}
    (tmp_path / "config.json").write_text(json.dumps(config))

    (tensors,) = (c for c in verify(open_checkpoint(tmp_path)).checks if c.name == "tensors")

    missing = [f.values["tensor"] for f in tensors.findings if f.code == "missing"]
    experts = [name for name in missing if ".experts." in str(name)]
    # A quarter of a million experts by a thousand layers, three matrices each; one is there.
    assert len(experts) == (1 << 18) // layers * 3 - 1


def test_a_shared_expert_is_as_many_units_as_before_where_all_experts_became_narrower(
    tmp_path: Path,
) -> None:
    original = family_folder("deepseek_v3", tmp_path / "original")
    config = AutoConfig.from_pretrained(original)
    # Of a shared expert a unit is an expert's channels; config.json of the pruned model tells them.
    config.moe_intermediate_size //= 2
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "pruned")
    found = verify(open_checkpoint(tmp_path / "pruned"), open_checkpoint(original))
    assert failed(found) == set()


@pytest.mark.parametrize("name", ["glm4", "gpt_oss", "nemotron"])
@pytest.mark.parametrize("has_biases", [True, False])
def test_biases_that_go_without_saying_are_those_of_transformers(
    tmp_path: Path, name: str, has_biases: bool
) -> None:
    folder = family_folder(name, tmp_path)
    config = AutoConfig.from_pretrained(folder)
    config.attention_bias = has_biases
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    path = folder / "config.json"
    stated = {k: v for k, v in json.loads(path.read_text()).items() if k != "attention_bias"}
    path.write_text(json.dumps(stated))
    is_whole = AutoConfig.from_pretrained(folder).attention_bias is has_biases

    found = verify(open_checkpoint(folder))

    assert failed(found) == (set() if is_whole else {"config"})
