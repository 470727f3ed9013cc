"""What is printed, to the letter: the tables in `golden/`, whose figures were reckoned by hand.

The model: five layers of q, o 8 × 8; k, v 4 × 8; gate, up 12 × 8; down 8 × 12; two norms of 8:
2·64 + 2·32 + 3·96 + 2·8 = 496 parameters. Embedding and head of 10 × 8, a norm of 8:
5·496 + 168 = 2648. Pruned are layers 1 to 3: two of eight rows of q and columns of o (2·16
fewer), three of twelve channels (3·24 fewer, 392 left); layer 3 lost six (3·48 fewer, 320 left).
In all 2·104 + 176 = 384 fewer, 2264 left: 2264 / 2648 = 0.85498…
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest

from prunescope.analysis.compare import compare
from prunescope.analysis.size import SizeComparison, measure
from prunescope.checkpoint import open_checkpoint
from prunescope.report.analysis import print_analysis
from prunescope.report.console import Screen
from prunescope.report.messages import Language, Messages
from prunescope.report.sizes import print_comparison, print_sizes
from tests.support.sparse import (
    LLAMA_3_8B,
    SMOLLM2,
    LlamaShape,
    llama_shapes,
    write_model,
    write_safetensors,
)

GOLDEN = Path(__file__).parents[1] / "golden"
SMALL = LlamaShape(5, 8, 12, 4, 2, 2, 10, tied=False)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Paths are printed as given: relative ones are the same on every machine."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def golden(name: str) -> str:
    return (GOLDEN / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_analysis(language: Language) -> None:
    pruned = llama_shapes(SMALL, range(1, 4), q_rows=2, channels=3)
    for name in ("gate_proj", "up_proj"):
        pruned[f"model.layers.3.mlp.{name}.weight"] = (6, 8)
    pruned["model.layers.3.mlp.down_proj.weight"] = (8, 6)
    a = open_checkpoint(write_model(Path("original"), SMALL, llama_shapes(SMALL)))
    b = open_checkpoint(write_model(Path("pruned"), SMALL, pruned))
    out = StringIO()

    print_analysis(compare(a, b), Screen(out), Messages(language))

    assert out.getvalue() == golden(f"analysis_{language}.txt")


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("zh", "⚠️ MLP Up Projection 剪枝度不一致: 各已剪枝层为 0.2500 至 0.7500"),
        (
            "en",
            "⚠️ MLP Up Projection differs between layers: pruned layers keep 0.2500 to 0.7500",
        ),
    ],
)
def test_the_verdict_of_layers_that_all_differ(language: Language, line: str) -> None:
    # 9, 6 and 3 of 12 channels in layers 1, 2 and 3.
    pruned = llama_shapes(SMALL)
    for layer, channels in ((1, 9), (2, 6), (3, 3)):
        pruned[f"model.layers.{layer}.mlp.up_proj.weight"] = (channels, 8)
    a = open_checkpoint(write_model(Path("original"), SMALL, llama_shapes(SMALL)))
    b = open_checkpoint(write_model(Path("pruned"), SMALL, pruned))
    out = StringIO()

    print_analysis(compare(a, b), Screen(out), Messages(language))

    assert line in out.getvalue().splitlines()


def test_the_analysis_of_a_tied_model_that_lost_a_layer() -> None:
    import torch

    small = LlamaShape(3, 8, 12, 4, 2, 2, 10, tied=True)
    shapes = llama_shapes(small)
    state = {name: torch.zeros(shape) for name, shape in shapes.items()}
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    torch.save(state, "original.bin")
    kept = {n: s for n, s in shapes.items() if not n.startswith("model.layers.1.")}
    write_safetensors(Path("pruned.safetensors"), kept)
    comparison = compare(open_checkpoint("original.bin"), open_checkpoint("pruned.safetensors"))
    out = StringIO()

    print_analysis(comparison, Screen(out), Messages("zh"))

    assert out.getvalue() == golden("analysis_layer_removed_zh.txt")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_sizes(language: Language) -> None:
    import torch
    from safetensors.torch import save_file

    write_model(Path("Llama-3-8B"), LLAMA_3_8B, llama_shapes(LLAMA_3_8B))
    write_safetensors(Path("SmolLM2.safetensors"), llama_shapes(SMOLLM2))
    w = torch.ones(300)
    torch.save({"a": w, "b": w, "c": torch.ones(100).half()}, "tied.bin")
    out = StringIO()
    # 4096 elements of 8 bits and one scale of 32: 8 + 1/128 bits per weight.
    scaled = {
        "w.weight": torch.zeros(64, 64, dtype=torch.float8_e4m3fn),
        "w.weight_scale": torch.ones(1),
    }
    save_file(scaled, "fp8.safetensors")

    names = ("Llama-3-8B", "SmolLM2.safetensors", "tied.bin", "fp8.safetensors")
    sizes = [measure(open_checkpoint(name)) for name in names]
    print_sizes(sizes, Screen(out), Messages(language))

    assert out.getvalue() == golden(f"sizes_{language}.txt")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_comparison_of_sizes(language: Language) -> None:
    # The mission's run: 256 rows fewer in each of q, k, v and o, 3584 channels, 27 layers.
    pruned = llama_shapes(LLAMA_3_8B, range(3, 30), q_rows=256, kv_rows=256, channels=3584)
    a = write_model(Path("Llama-3-8B-Instruct"), LLAMA_3_8B, llama_shapes(LLAMA_3_8B))
    b = write_model(Path("prune_log") / "llama_prune", LLAMA_3_8B, pruned)
    out = StringIO()

    sizes = SizeComparison(measure(open_checkpoint(a)), measure(open_checkpoint(b)))
    print_comparison(sizes, Screen(out), Messages(language))

    assert out.getvalue() == golden(f"size_comparison_{language}.txt")


def test_a_name_from_a_stranger_cannot_steer_the_terminal() -> None:
    path = Path("\x1b[31mred\nline.safetensors")
    write_safetensors(path, llama_shapes(SMALL))
    out = StringIO()

    print_sizes([measure(open_checkpoint(path))], Screen(out), Messages("en"))

    assert "\\x1b[31mred\\nline.safetensors" in out.getvalue()
    assert "\x1b" not in out.getvalue()
