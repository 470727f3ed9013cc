"""`prunescope cost` as a user runs it: Llama-3-8B, whole and a quarter of layers 3 to 29 gone.

By hand, for 8 sequences of 4096 tokens on an H200 (4.8 TB/s, 989.5 TFLOP/s). A token of the whole
model costs 13.9586 GFLOP in matrices and 2.1475 in attention, and 1.0507 for its logits: 16.1064
in a prompt, 17.1568 alone. Caches of 131,072 B · 4096 = 0.5 GiB; 14.96 + 8 · 0.5 = 18.96 GiB.
A step reads 15.0098 GB of weights and 4.2950 of caches: 8 · 17.1568 / 19.3048 = 7.11 FLOP/byte,
and 8 tokens in 4.0218 ms. Pruned: 13.9586 - 27 · 0.10905 = 11.0142, 2.1475 - 27 · 0.016777 =
1.6945; caches of 103,424 B.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.commands import prunescope
from tests.support.sparse import LLAMA_3_8B, llama_shapes, write_model

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cost")
    write_model(folder / "original", LLAMA_3_8B, llama_shapes(LLAMA_3_8B))
    shapes = llama_shapes(LLAMA_3_8B, range(3, 30), q_rows=1024, kv_rows=256, channels=3584)
    write_model(folder / "pruned", LLAMA_3_8B, shapes)
    return folder


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_comparison_is_the_golden_one(folder: Path, language: str) -> None:
    done = prunescope(
        "cost", "original", "pruned", "--batch=8", "--device=h200", "--lang", language, cwd=folder
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (GOLDEN / f"cost.{language}.txt").read_text("utf-8")


def test_one_model_without_a_device(folder: Path) -> None:
    lines = prunescope("cost", "original", "--kv-dtype=f8", cwd=folder).stdout.splitlines()
    assert lines[1] == "Cost of inference (context 4,096, batch 1, KV cache in f8)"
    assert lines[3].split() == ["Figure", "Model"]
    assert "KV cache per token (bytes)            65,536" in lines
    assert not any("tokens/s" in line or "Ratio" in line for line in lines)


def test_json_has_every_figure_and_ratio(folder: Path) -> None:
    done = prunescope(
        "cost", "original", "pruned", "--bandwidth=1000", "--flops=100", "--json", cwd=folder
    )
    found = json.loads(done.stdout)

    assert found["schema"] == "prunescope.cost/1"
    assert (found["context"], found["batch"], found["kv_dtype"]) == (4096, 1, "bf16")
    assert found["device"] == {
        "title": None, "bandwidth": 1e12, "flops": 1e14, "memory_bytes": None, "source": None,
    }  # fmt: skip
    original, pruned = found["models"]
    assert (original["path"], pruned["path"]) == ("original", "pruned")
    assert original["kv_bytes_per_token"] == 131_072
    assert original["fits"] is None
    assert original["decode"]["flops"] == 17_156_800_512
    assert original["decode"]["bytes"] == 15_009_849_344 + (512 << 20)
    assert original["decode"]["bound"] == "memory"
    assert original["decode"]["tokens_per_second"] == pytest.approx(1e12 / 15_546_720_256)
    assert original["prefill"]["bound"] == "compute"
    assert found["ratios"]["kv_bytes_per_token"] == 103_424 / 131_072
    assert found["ratios"]["parameters"] == 6_558_060_544 / 8_030_261_248
    assert found["ratios"]["decode"]["flops_per_token"] == pytest.approx(0.8020, abs=5e-5)


def test_given_peaks_override_a_devices_own(folder: Path) -> None:
    done = prunescope("cost", "original", "--device=4090", "--bandwidth=500", "--json", cwd=folder)
    device = json.loads(done.stdout)["device"]
    assert (device["bandwidth"], device["flops"]) == (5e11, 165.2e12)


def test_a_model_that_does_not_fit_is_named(folder: Path) -> None:
    done = prunescope("cost", "original", "--device=4090", "--batch=32", cwd=folder)
    assert "⚠️ original: needs 30.96 GB, the device has 24 GB" in done.stdout.splitlines()


@pytest.mark.parametrize(
    "arguments",
    [
        ("original", "--bandwidth=10"),
        ("original", "--flops=10"),
        ("original", "--bandwidth=nan", "--flops=10"),
        ("original", "--device=abacus"),
        ("original", "--context=0"),
        ("original", "--batch=-1"),
        ("original", "--kv-dtype=i4"),
        ("nowhere",),
        (),
    ],
)
def test_what_cannot_be_answered_ends_in_one_line(folder: Path, arguments: tuple[str, ...]) -> None:
    done = prunescope("cost", *arguments, cwd=folder)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_help_has_an_example(tmp_path: Path) -> None:
    for language, word in (("zh", "示例:"), ("en", "Example:")):
        done = prunescope("cost", "--help", "--lang", language, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"{word} prunescope cost " in " ".join(done.stdout.split())
