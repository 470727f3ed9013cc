"""nemotron-nas: `block_configs` say what each layer has, and nothing of it is missing or extra.

A layer of the Llama has 2 · 32·32 weights in q and o, 2 · 16·32 in k and v, 3 · 512·32 in the MLP
and two norms of 32. So `nemotron_folder` keeps all of layer 0; of layer 1 a norm and 3 · 256·32; of
layer 2 both norms and two linear layers of 32·32; of layer 3 a norm and the attention.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from prunescope.analysis.compare import compare
from prunescope.analysis.cost import cost
from prunescope.analysis.verify import verify
from prunescope.analysis.workload import Workload
from prunescope.architecture.block_configs import channels_of
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError
from prunescope.interop.convert import convert
from tests.support.ggufs import HEADS, HIDDEN, finish, tiny_weights
from tests.support.nemotron import (
    BLOCKS,
    LINEAR_ATTENTION,
    LINEAR_FFN,
    NO_ATTENTION,
    WHOLE,
    llama_folder,
    nemotron_folder,
)
from tests.support.pruning import State, described, edit_weights, plan, prune_tiny
from tests.support.tiny import edit_json, tiny_folder, tiny_network

ATTENTION, MLP, NORM, LINEAR = 2 * 32 * 32 + 2 * 16 * 32, 3 * 512 * 32, 32, 32 * 32


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llama_folder(tmp_path_factory.mktemp("llama") / "base")


@pytest.fixture(scope="module")
def nemotron(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nemotron_folder(tmp_path_factory.mktemp("nas") / "nemotron")


def findings(folder: Path, original: Path | None = None) -> list[tuple[str, str, dict[str, Any]]]:
    checked = verify(open_checkpoint(folder), original and open_checkpoint(original))
    return [
        (check.name, one.code, dict(one.values))
        for check in checked.checks
        if check.verdict == "fail"
        for one in check.findings
        if one.verdict == "fail"
    ]


@pytest.mark.parametrize(
    ("ffn_mult", "hidden", "channels"),
    # Llama-3-70B's own MLP; a quarter of it; one that is rounded up; and what no layer has.
    [(5.25, 8192, 28672), (1.3125, 8192, 7168), (1.0, 8192, 5632), (float("inf"), 8, None),
     (-1.0, 8, None), (1e300, 8192, None), (float("nan"), 8, None), (10**400, 8, None),
        (1.0, 10**400, None)],
)  # fmt: skip
def test_channels_are_those_that_engines_compute(
    ffn_mult: float, hidden: int, channels: int | None
) -> None:
    assert channels_of(ffn_mult, hidden) == channels


def test_what_blocks_lack_is_not_missing(base: Path, nemotron: Path) -> None:
    assert findings(nemotron) == []
    assert findings(nemotron, base) == []


def test_compared_with_its_llama_each_layer_has_lost_what_its_block_says(
    base: Path, nemotron: Path
) -> None:
    found = compare(open_checkpoint(base), open_checkpoint(nemotron))
    assert [layer.parameters.pruned for layer in found.layers] == [
        ATTENTION + MLP + 2 * NORM,
        MLP // 2 + NORM,
        2 * LINEAR + 2 * NORM,
        ATTENTION + NORM,
    ]


def test_cost_counts_what_is_there(nemotron: Path) -> None:
    found = cost(open_checkpoint(nemotron), Workload(context=100))
    matrices = ATTENTION + MLP + MLP // 2 + 2 * LINEAR + ATTENTION
    assert found.layer_flops == 2 * matrices
    # Two layers attend: 4 heads of 8 each; keys and values of 2 heads are kept, in two bytes.
    assert found.attention_flops == 2 * 4 * 100 * 32
    assert found.kv_bytes_per_token == 2 * 2 * 16 * 2


def test_a_window_bounds_what_is_attended_to(tmp_path: Path) -> None:
    windowed = WHOLE | {"attention": WHOLE["attention"] | {"window_length": 10}}
    folder = nemotron_folder(tmp_path / "nas", (WHOLE, windowed, WHOLE, WHOLE))
    found = cost(open_checkpoint(folder), Workload(context=100))
    assert found.attention_flops == (3 * 100 + 10) * 4 * 32


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        (
            # Its weights are the fixture's: blocks that say there is attention in layer 1, …
            (WHOLE, {**BLOCKS[1], "attention": WHOLE["attention"]}, *BLOCKS[2:]),
            {("tensors", "missing", "self_attn.q_proj.weight")},
        ),
        (
            # … that there is none in layer 3, …
            (*BLOCKS[:3], {**BLOCKS[3], "attention": NO_ATTENTION}),
            {("tensors", "extra", "self_attn.q_proj.weight"),
             ("tensors", "extra", "input_layernorm.weight")},
        ),
        (
            # … that heads share otherwise, and channels are other ones, …
            ({"attention": WHOLE["attention"] | {"n_heads_in_group": 4},
              "ffn": WHOLE["ffn"] | {"ffn_mult": 12.0}}, *BLOCKS[1:]),
            {("config", "num_key_value_heads", 1, 2), ("config", "intermediate_size", 256, 512)},
        ),
        # … and of which there are too few.
        (BLOCKS[:3], {("config", "block_configs", 3, 4)}),
    ],
)  # fmt: skip
def test_blocks_that_do_not_describe_the_weights_fail(
    nemotron: Path, tmp_path: Path, blocks: Any, expected: set[tuple[Any, ...]]
) -> None:
    folder = nemotron_folder(tmp_path / "nas", block_configs=list(blocks))
    told = {
        (check, code, values["tensor"])
        if "tensor" in values
        else (check, values["key"], values["stated"], values["found"])
        for check, code, values in findings(folder)
    }
    assert expected <= told


def test_engines_are_asked_for_what_they_build(tmp_path: Path) -> None:
    linear = (WHOLE | {"attention": LINEAR_ATTENTION}, WHOLE | {"ffn": LINEAR_FFN}, WHOLE, WHOLE)
    checks = verify(open_checkpoint(nemotron_folder(tmp_path / "nas", linear))).checks
    found = {
        check.name: [(one.code, *one.layers) for one in check.findings]
        for check in checks
        if check.group == "loading"
    }
    # vLLM's nemotron_nas.py has no such layers; llama.cpp's deci.cpp has them for attention alone.
    assert found == {
        "transformers": [("not_built",)],
        "vllm": [("linear_layer", 0, 1)],
        "llama.cpp": [("linear_layer", 1)],
    }


def test_vllm_needs_the_folders_code_for_the_config(tmp_path: Path) -> None:
    auto_map = {"AutoConfig": "configuration_decilm.DeciLMConfig"}
    folder = nemotron_folder(tmp_path / "nas", (WHOLE,) * 4, auto_map=auto_map)
    (folder / "configuration_decilm.py").write_text("# NVIDIA's\n", encoding="utf-8")

    checks = {check.name: check for check in verify(open_checkpoint(folder)).checks}

    (found,) = checks["vllm"].findings
    assert (found.verdict, found.code) == ("warn", "config_needs_code")
    assert found.values == {"file": "configuration_decilm.py"}


def test_a_tensor_that_is_gone_is_missing(tmp_path: Path) -> None:
    folder = nemotron_folder(tmp_path / "nas")
    edit_weights(folder, {"model.layers.2.self_attn.linear_attn.weight": None})
    assert findings(folder) == [("tensors", "missing", {"tensor": "self_attn.linear_attn.weight"})]


@pytest.mark.parametrize(
    "blocks",
    [None, 7, [], [None], [{"attention": [], "ffn": 3}] * 4, [{"ffn": {"ffn_mult": "9"}}] * 4,
     [{"attention": {"n_heads_in_group": 0, "num_key_value_heads": "x"}}] * 4],
)  # fmt: skip
def test_blocks_that_cannot_be_read_break_nothing(tmp_path: Path, blocks: Any) -> None:
    folder = nemotron_folder(tmp_path / "nas", block_configs=blocks)
    verify(open_checkpoint(folder))
    assert cost(open_checkpoint(folder)).model.parameters > 0


def test_our_export_has_the_figures_of_the_same_model_as_hf(base: Path, tmp_path: Path) -> None:
    prune_tiny(described(base), plan()).save(tmp_path / "pruned")
    convert(tmp_path / "pruned", tmp_path / "deci", form="deci", is_uniform=True)
    convert(tmp_path / "deci", tmp_path / "hf")
    rows = [compare(open_checkpoint(base), open_checkpoint(tmp_path / f)).rows()
            for f in ("deci", "hf")]  # fmt: skip
    assert rows[0] == rows[1]
    # --uniform gave the heads back, and left 256 of 512 channels.
    kept = {(row["层编号"], row["剪枝后维度"]) for row in rows[0] if "Gate" in row["模块名称"]}
    assert kept == {(0, "512 × 32"), (1, "256 × 32"), (2, "256 × 32"), (3, "512 × 32")}
    assert findings(tmp_path / "deci", base) == []
    costs = [cost(open_checkpoint(tmp_path / f)).record() for f in ("deci", "hf")]
    assert costs[0] | {"path": ""} == costs[1] | {"path": ""}


def test_an_unrelated_type_is_still_refused(nemotron: Path, tmp_path: Path) -> None:
    tiny_network("mistral").save_pretrained(tmp_path / "mistral")
    with pytest.raises(ArchitectureError, match="model_type 'nemotron-nas', the original's is"):
        compare(open_checkpoint(tmp_path / "mistral"), open_checkpoint(nemotron))


def test_a_gguf_says_with_counts_of_0_what_a_layer_lacks(tmp_path: Path) -> None:
    """llama.cpp's deci.cpp: no heads is no attention, heads without KV heads a linear layer."""
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "deci")
    writer.add_block_count(3)
    writer.add_embedding_length(HIDDEN)
    writer.add_head_count([HEADS, 0, HEADS])
    writer.add_head_count_kv([2, 0, 0])
    writer.add_feed_forward_length([96, 96, 0])
    weights = tiny_weights()[0]
    gone = ("blk.1.attn_", "blk.2.attn_q", "blk.2.attn_k", "blk.2.attn_v", "blk.2.ffn_")
    for name, values in {**weights, **_third_layer(weights)}.items():
        if not name.startswith(gone):
            writer.add_tensor(name, values)
    finish(writer)
    assert findings(tmp_path / "m.gguf") == []
    found = cost(open_checkpoint(tmp_path / "m.gguf"), Workload(context=100))
    assert found.attention_flops == 4 * 100 * 64


def _third_layer(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n.replace("blk.1.", "blk.2."): w for n, w in weights.items() if n.startswith("blk.1.")}


def test_decilm_lists_the_kv_heads_of_each_layer(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m", num_attention_heads=4, num_key_value_heads=2)
    # Of four layers two have one KV head, as in DeciLM-7B, which has 4, 2 and 1.
    weights: State = {}
    for layer in (1, 2):
        for name in ("k_proj", "v_proj"):
            weights[f"model.layers.{layer}.self_attn.{name}.weight"] = torch.ones(8, 24)
    edit_weights(folder, weights)
    told = {"model_type": "deci", "num_key_value_heads_per_layer": [2, 1, 1, 2]}
    edit_json(folder / "config.json", told)
    found = verify(open_checkpoint(folder))
    assert {c.name for c in found.checks if c.verdict == "fail"} == set()
    assert next(c for c in found.checks if c.name == "config").verdict == "pass"
    edit_json(folder / "config.json", {"num_key_value_heads_per_layer": [2, 2, 1, 2]})
    wrong = next(c for c in verify(open_checkpoint(folder)).checks if c.name == "config")
    assert [one.layers for one in wrong.findings if one.verdict == "fail"] == [(1,)]
    # KV heads of 8 rows: a key and a value in bf16 of each token in each of 2 + 1 + 1 + 2 heads.
    assert cost(open_checkpoint(folder), Workload()).kv_bytes_per_token == 6 * 8 * 2 * 2
