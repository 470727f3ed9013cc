"""`prunescope sparsity` as a user runs it, on a model whose figures are plain to see.

Two layers. q: ones, in layer 1 one of them NaN; k: halves; v: 4 × 8 ones, zeros in layer 1;
o: the identity, so 56 of 64 are zeros and no group of four has two others; gate and up:
2, 0, -2, 0, … (mean 0, every other square 4: std √2); down: quarters but for a column of zeros:
8 of 96, mean 0.25 · 11/12 = 0.2292, std 0.25 · √11/12 = 0.0691. Embedding: ones but for a row:
8 of 128 zeros, 2 of 32 groups of four, std √15/16 = 0.2421. In all 56 + 56 + 32 + 4 · 48 + 2 · 8
+ 8 = 360 zeros; of a layer's 496 weights 56 + 96 + 8 = 160, and 192 where v is empty too.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.support.commands import prunescope

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sparsity")
    embedding = torch.ones(16, 8)
    embedding[0] = 0
    down = torch.full((8, 12), 0.25)
    down[:, 3] = 0
    state = {"model.embed_tokens.weight": embedding, "model.norm.weight": torch.ones(8)}
    for layer in range(2):
        prefix = f"model.layers.{layer}."
        halved = torch.tensor([2.0, 0, -2, 0]).repeat(12, 2)
        state |= {
            prefix + "self_attn.q_proj.weight": torch.ones(8, 8),
            prefix + "self_attn.k_proj.weight": torch.full((4, 8), 0.5),
            prefix + "self_attn.v_proj.weight": torch.full((4, 8), 1.0 - layer),
            prefix + "self_attn.o_proj.weight": torch.eye(8),
            prefix + "mlp.gate_proj.weight": halved,
            prefix + "mlp.up_proj.weight": halved.clone(),
            prefix + "mlp.down_proj.weight": down.clone(),
            prefix + "input_layernorm.weight": torch.ones(8),
            prefix + "post_attention_layernorm.weight": torch.ones(8),
        }
    state["model.layers.1.self_attn.q_proj.weight"][0, 0] = float("nan")
    state = {name: tensor.bfloat16() for name, tensor in state.items()}
    save_file(state, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_tables_are_the_golden_ones(folder: Path, language: str) -> None:
    done = prunescope("sparsity", "model.safetensors", "--values", "--lang", language, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (GOLDEN / f"sparsity.{language}.txt").read_text("utf-8")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_without_values_only_zeros_are_told(folder: Path, language: str) -> None:
    done = prunescope("sparsity", "model.safetensors", "--lang", language, cwd=folder)
    golden = (GOLDEN / f"sparsity.{language}.txt").read_text("utf-8")
    # The table of values is the last section, and ❌ speaks of NaN.
    zeros = golden.rpartition("\n" + "=" * 98)[0].rpartition("\n" + "=" * 98)[0]
    assert done.stdout == "".join(
        line for line in zeros.splitlines(keepends=True) if not line.startswith("❌")
    )


def test_json_has_every_tensor(folder: Path) -> None:
    done = prunescope("sparsity", "model.safetensors", "--values", "--json", cwd=folder)
    found = json.loads(done.stdout)

    assert found["schema"] == "prunescope.sparsity/1"
    assert (found["model"], found["family"]) == ("model.safetensors", "llama")
    assert found["total"]["zeros"] == {"count": 360, "total": 1128, "share": 360 / 1128}
    assert len(found["tensors"]) == 20
    [up] = [t for t in found["tensors"] if t["tensor"] == "model.layers.1.mlp.up_proj.weight"]
    whole = {"count": 24, "total": 24, "share": 1.0}
    assert up == {
        "tensor": "model.layers.1.mlp.up_proj.weight",
        "layer": 1,
        "module": "MLP Up Projection",
        "axes": ["channels", "hidden"],
        "shape": [12, 8],
        "dtype": "BF16",
        "zeros": {"count": 48, "total": 96, "share": 0.5},
        "two_four": whole,
        "four_eight": {"count": 12, "total": 12, "share": 1.0},
        "blocks16": {"count": 0, "total": 1, "share": 0.0},
        "blocks32": {"count": 0, "total": 1, "share": 0.0},
        "rows": {"count": 0, "total": 12, "share": 0.0},
        "columns": {"count": 4, "total": 8, "share": 0.5},
        "values": {
            "mean": 0.0, "std": 2**0.5, "minimum": -2.0, "maximum": 2.0, "absmax": 2.0,
            "nonfinite": 0,
        },
    }  # fmt: skip
    [norm] = [t for t in found["tensors"] if t["tensor"] == "model.norm.weight"]
    assert norm["layer"] is None
    assert norm["two_four"] is norm["rows"] is None


def test_the_csv_has_one_row_per_tensor(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "zeros.csv"
    done = prunescope(
        "sparsity", "model.safetensors", "--values", "--output", str(path), cwd=folder
    )
    assert done.stderr == f"Table written to {path}\n"
    with path.open(encoding="utf-8", newline="") as stream:
        rows = {row["tensor"]: row for row in csv.DictReader(stream)}
    assert len(rows) == 20
    q = rows["model.layers.1.self_attn.q_proj.weight"]
    assert q == {
        "layer": "1", "module": "Attention Q Projection",
        "tensor": "model.layers.1.self_attn.q_proj.weight", "dtype": "BF16", "shape": "8 × 8",
        "weights": "64", "zeros": "0", "sparsity": "0.000000", "two_four": "0.000000",
        "four_eight": "0.000000", "blocks16": "0.000000", "blocks32": "0.000000",
        "empty_rows": "0", "empty_columns": "0", "mean": "1.0", "std": "0.0", "minimum": "1.0",
        "maximum": "1.0", "absmax": "1.0", "nonfinite": "1",
    }  # fmt: skip
    norm = rows["model.norm.weight"]
    assert (norm["layer"], norm["two_four"], norm["empty_rows"]) == ("", "", "")


def test_what_is_no_model_ends_in_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes(
        (folder / "model.safetensors").read_bytes()[:-1]
    )  # fmt: skip
    done = prunescope("sparsity", "cut.safetensors", "--output", "x.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: cut.safetensors: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "x.csv").exists()


def test_help_has_an_example(tmp_path: Path) -> None:
    for language, word in (("zh", "示例:"), ("en", "Example:")):
        done = prunescope("sparsity", "--help", "--lang", language, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"{word} prunescope sparsity " in " ".join(done.stdout.split())
