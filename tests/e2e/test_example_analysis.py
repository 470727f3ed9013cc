"""`./example_analysis.sh`: prune, size, analysis, CSV and plot of a real model, in one command."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

import prunescope
from tests.e2e.conftest import Example, run_example, scripts_in
from tests.support.prune_command import base_model

# One worker makes the example and looks at it.
pytestmark = pytest.mark.xdist_group("example")
# SmolLM2: hidden 576, 9 query and 3 KV heads of 64, 1536 channels. Layers 3..26 lose one of the
# three GQA groups (round(0.25 × 3) = 1) and 384 of 1536 channels.
SHAPES = {
    "Attention Q Projection": ((576, 576), (384, 576)),
    "Attention K Projection": ((192, 576), (128, 576)),
    "Attention V Projection": ((192, 576), (128, 576)),
    "Attention O Projection": ((576, 576), (576, 384)),
    "MLP Gate Projection": ((1536, 576), (1152, 576)),
    "MLP Up Projection": ((1536, 576), (1152, 576)),
    "MLP Down Projection": ((576, 1536), (576, 1152)),
}
PRUNED = range(3, 27)
# A layer loses 192 rows of q and columns of o, 64 rows of k and v, 384 of gate, up and down.
LOST_PER_LAYER = (2 * 192 + 2 * 64 + 3 * 384) * 576
ORIGINAL = 134_515_008
PRUNED_PARAMETERS = ORIGINAL - 24 * LOST_PER_LAYER


def bin_of(example: Example) -> Path:
    return example.folder / "prune_log" / "llama_prune" / "pytorch_model.bin"


def test_the_flow_ends_well_and_names_what_it_wrote(example: Example) -> None:
    assert (example.first.returncode, example.first.stderr) == (0, "")
    lines = example.first.stdout.splitlines()
    written = [bin_of(example), *(example.folder / name for name in (
        "pruning_analysis.csv", "sparsity_visualization.png"))]  # fmt: skip
    assert lines[-3:] == [str(path) for path in written]
    assert all(path.stat().st_size > 0 for path in written)
    assert written[2].read_bytes().startswith(b"\x89PNG")


def test_its_figures_are_those_of_the_shapes(example: Example) -> None:
    assert PRUNED_PARAMETERS == 111_511_872
    lines = example.first.stdout.splitlines()
    for line in (
        "原始模型总参数量: 134,515,008",
        "剪枝后模型总参数量: 111,511,872",
        "参数减少量: 23,003,136",
        # 111,511,872 / 134,515,008 = 0.828992…
        "整体保留率: 0.8290 (82.90%)",
        "整体稀疏度: 0.1710 (17.10%)",
        "✅ 所有已剪枝层的 Attention Q Projection 剪枝度一致: 0.6667",
        "✅ 所有已剪枝层的 MLP Down Projection 剪枝度一致: 0.7500",
        # float32: 538,060,032 and 446,047,488 bytes of parameters.
        "原始模型总大小: 0.50 GB",
        "剪枝后模型大小: 0.42 GB",
    ):
        assert line in lines


def test_every_row_of_the_csv_is_right(example: Example) -> None:
    with (example.folder / "pruning_analysis.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    expected = []
    for layer in range(30):
        for module, (before, after) in SHAPES.items():
            after = after if layer in PRUNED else before
            old, new = before[0] * before[1], after[0] * after[1]
            expected.append(
                {
                    "层编号": str(layer),
                    "模块名称": module,
                    "原始维度": f"{before[0]} × {before[1]}",
                    "剪枝后维度": f"{after[0]} × {after[1]}",
                    "原始参数量": str(old),
                    "剪枝后参数量": str(new),
                    "保留率": f"{new / old:.6f}",
                    "稀疏度": f"{1 - new / old:.6f}",
                }
            )
    assert rows == expected


def test_torch_loads_what_pruning_json_says_was_kept(example: Example, smollm2: Path) -> None:
    state = torch.load(bin_of(example), weights_only=True, mmap=True)
    original = load_file(smollm2 / "model.safetensors")
    record = json.loads((bin_of(example).parent / "pruning.json").read_text("utf-8"))
    assert sum(t.numel() for t in state.values()) == PRUNED_PARAMETERS
    for layer in (2, 3, 26, 27):
        for name, weight in state.items():
            if not name.startswith(f"model.layers.{layer}."):
                continue
            kept = record["layers"].get(str(layer), {})
            old = original[name]
            if kept and ".mlp." in name:
                channels = kept["mlp"]["kept"]["channels"]
                old = old[:, channels] if "down_proj" in name else old[channels]
            elif kept and ".self_attn." in name:
                space = "kv_heads" if name.split(".")[-2][0] in "kv" else "heads"
                rows = [h * 64 + i for h in kept["attention"]["kept"][space] for i in range(64)]
                old = old[:, rows] if "o_proj" in name else old[rows]
            assert torch.equal(weight, old), name


def test_each_kept_query_head_keeps_its_kv_head(example: Example) -> None:
    record = json.loads((bin_of(example).parent / "pruning.json").read_text("utf-8"))
    assert sorted(map(int, record["layers"])) == list(PRUNED)
    for layer in record["layers"].values():
        kept = layer["attention"]["kept"]
        assert len(kept["kv_heads"]) == 2
        # Three query heads share a KV head.
        assert kept["heads"] == [3 * kv + i for kv in kept["kv_heads"] for i in range(3)]


def test_the_pruned_model_writes_text(example: Example) -> None:
    folder = bin_of(example).parent
    model = prunescope.load(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer("The capital of France is", return_tensors="pt")
    tokens = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    text = tokenizer.decode(tokens[0], skip_special_tokens=True)
    assert text.startswith("The capital of France is")
    assert len(text) > len("The capital of France is")


def test_a_second_run_reuses_what_stands(example: Example) -> None:
    before = bin_of(example).stat()
    done = example.run(PRUNESCOPE_LANG="en")
    assert (done.returncode, done.stderr) == (0, "")
    assert "pytorch_model.bin stands already" in done.stdout
    assert "Overall sparsity: 0.1710 (17.10%)" in done.stdout.splitlines()
    after = bin_of(example).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def edited(script: Path, values: dict[str, str]) -> None:
    """Set the variables at the top of the script, as its user does."""
    text = script.read_text("utf-8")
    for name, value in values.items():
        text = re.sub(rf'(?m)^{name}=".*"$', f'{name}="{value}"', text)
    script.write_text(text, "utf-8")


def test_what_another_command_wrote_over_it_is_not_taken_for_its_own(tmp_path: Path) -> None:
    script = scripts_in(tmp_path) / "example_analysis.sh"
    base_model(tmp_path / "tiny")
    edited(
        script,
        {"ORIGINAL_MODEL": "tiny", "PRUNER_TYPE": "l2", "LAYER_START": "1", "LAYER_END": "5"},
    )
    assert run_example(tmp_path).returncode == 0
    weights = tmp_path / "prune_log" / "llama_prune" / "pytorch_model.bin"
    own = weights.read_bytes()
    # As `llama3.py --pruning_ratio 0.5 --save_model` does: the default name is the same.
    weights.write_bytes(b"another's")

    again = run_example(tmp_path)

    assert again.returncode == 0
    assert "已存在" not in again.stdout
    assert weights.read_bytes() == own


def test_it_fails_early_and_clearly(tmp_path: Path) -> None:
    script = scripts_in(tmp_path) / "example_analysis.sh"
    text = script.read_text("utf-8")
    for variable, value, cause in (
        ("ORIGINAL_MODEL", "no/such/model", "no/such/model: no such folder"),
        ("OUTPUT_CSV", "no/such/folder/x.csv", "no/such/folder: no such folder"),
        ("OUTPUT_PLOT", "plot.bmp", "a plot ends in .png, .svg or .pdf"),
    ):
        script.write_text(text, "utf-8")
        edited(script, {variable: value})
        done = run_example(tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert cause in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "prune_log").exists()
