"""`analyze_pruning.py` as a user runs it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.support.scripts import run_script, run_without_reader
from tests.support.sparse import LLAMA_3_8B, llama_shapes, write_model, write_torch_zip

SCRIPT = "analyze_pruning.py"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Llama-3-8B and the mission's pruning of it, where its examples have them."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "Llama-3-8B-Instruct", LLAMA_3_8B, llama_shapes(LLAMA_3_8B))
    pruned = llama_shapes(LLAMA_3_8B, range(3, 30), q_rows=256, kv_rows=256, channels=3584)
    (folder / "prune_log" / "llama_prune").mkdir(parents=True)
    write_torch_zip(folder / "prune_log" / "llama_prune" / "pytorch_model.bin", pruned)
    return folder


def arguments(models: Path, *more: str) -> list[str]:
    return [
        f"--original_model={models / 'Llama-3-8B-Instruct'}",
        f"--pruned_model={models / 'prune_log' / 'llama_prune' / 'pytorch_model.bin'}",
        *more,
    ]


def test_the_missions_command_prints_its_sections_and_writes_its_csv(
    models: Path, tmp_path: Path
) -> None:
    done = run_script(SCRIPT, *arguments(models), cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    titles = ["每层汇总统计", "全局统计", "详细模块分析"]
    assert [line for line in lines if line in titles] == titles
    for line in (
        "原始模型总参数量: 8,030,261,248",
        "剪枝后模型总参数量: 6,727,929,856",
        "参数减少量: 1,302,331,392",
        "整体保留率: 0.8378 (83.78%)",
        "整体稀疏度: 0.1622 (16.22%)",
        # 218,112,000 − 48,234,496 = 169,877,504, which is 0.77885… of it.
        "     3  218,112,000   169,877,504  0.7789  0.2211  # 已剪枝",
        "    30  218,112,000   218,112,000  1.0000  0.0000  # 未剪枝",
        # 3840 / 4096 and 10752 / 14336.
        " 3  4096 × 4096  3840 × 4096  0.9375  0.0625",
        "✅ 所有已剪枝层的 Attention Q Projection 剪枝度一致: 0.9375",
        "✅ 所有已剪枝层的 MLP Down Projection 剪枝度一致: 0.7500",
        "   未剪枝的层: 0-2, 30-31",
        "详细结果已保存到: pruning_analysis.csv",
    ):
        assert line in lines
    assert sum(line.startswith("📊 ") for line in lines) == 7
    with (tmp_path / "pruning_analysis.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 7 * 32
    assert sum(row["稀疏度"] == "0.000000" for row in rows) == 7 * 5
    assert [path.name for path in tmp_path.iterdir()] == ["pruning_analysis.csv"]


def test_output_goes_where_it_is_asked_for(models: Path, tmp_path: Path) -> None:
    done = run_script(SCRIPT, *arguments(models, "--output", "detailed.csv"), cwd=tmp_path)

    assert done.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["detailed.csv"]


def test_the_plot_is_drawn_where_it_is_asked_for(models: Path, tmp_path: Path) -> None:
    done = run_script(SCRIPT, *arguments(models, "--plot", "s.png"), cwd=tmp_path)

    assert done.returncode == 0
    assert "图已保存到: s.png" in done.stdout.splitlines()
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("option", "variable", "expected"),
    [
        ((), "", "整体稀疏度: 0.1622 (16.22%)"),
        (("--lang", "en"), "", "Overall sparsity: 0.1622 (16.22%)"),
        (("--lang=en",), "", "Overall sparsity: 0.1622 (16.22%)"),
        ((), "en", "Overall sparsity: 0.1622 (16.22%)"),
        # What is typed outranks what is set; what is no language is no choice.
        (("--lang", "zh"), "en", "整体稀疏度: 0.1622 (16.22%)"),
        ((), "de", "整体稀疏度: 0.1622 (16.22%)"),
    ],
)
def test_the_language_can_be_chosen(
    models: Path, tmp_path: Path, option: tuple[str, ...], variable: str, expected: str
) -> None:
    done = run_script(SCRIPT, *arguments(models, *option), cwd=tmp_path, PRUNESCOPE_LANG=variable)

    assert (done.returncode, done.stderr) == (0, "")
    assert expected in done.stdout.splitlines()


def test_json_is_all_there_is_on_standard_output(models: Path, tmp_path: Path) -> None:
    done = run_script(SCRIPT, *arguments(models, "--json"), cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["schema"] == "prunescope.analysis/1"
    assert found["family"] == "llama"
    assert found["parameters"]["original"] == 8_030_261_248
    assert found["parameters"]["pruned"] == 6_727_929_856
    assert [layer["layer"] for layer in found["layers"]] == list(range(32))
    # Norms and embeddings, which have no rows in the CSV, are here.
    layer = {m["module"]: m for m in found["layers"][3]["modules"]}
    assert len(layer) == 9
    assert layer["Input Norm"]["original_shape"] == [4096]
    assert layer["MLP Up Projection"]["pruned_shape"] == [10752, 4096]
    outside = {m["module"]: m["parameters"]["pruned"] for m in found["outside_layers"]}
    assert outside == {
        "Token Embedding": 128256 * 4096,
        "Final Norm": 4096,
        "Output Head": 128256 * 4096,
    }
    modules = [m for part in found["layers"] for m in part["modules"]] + found["outside_layers"]
    assert sum(m["parameters"]["pruned"] for m in modules) == 6_727_929_856
    verdict = found["verdicts"][0]
    assert verdict["module"] == "Attention Q Projection"
    assert verdict["retention"] == 0.9375
    assert verdict["pruned_layers"] == list(range(3, 30))
    assert verdict["outliers"] == []


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_reader_that_leaves_early_gets_no_traceback(
    models: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    _, errors = run_without_reader(SCRIPT, *arguments(models, *more), cwd=tmp_path)

    assert errors == b""


def test_help_has_an_example(tmp_path: Path) -> None:
    for language, word in (("zh", "示例:"), ("en", "Example:")):
        done = run_script(SCRIPT, "--help", "--lang", language, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        text = " ".join(done.stdout.split())
        assert f"{word} python analyze_pruning.py --original_model" in text


def test_a_terminal_without_unicode_is_served_too(models: Path, tmp_path: Path) -> None:
    done = run_script(SCRIPT, *arguments(models), cwd=tmp_path, PYTHONIOENCODING="ascii")

    assert (done.returncode, done.stderr) == (0, "")
    assert "0.1622 (16.22%)" in done.stdout
    assert "整体" in done.stdout.encode("ascii").decode("unicode_escape")


def test_no_colour_codes_reach_a_pipe(models: Path, tmp_path: Path) -> None:
    assert "\x1b" not in run_script(SCRIPT, *arguments(models), cwd=tmp_path).stdout


def test_a_second_run_prints_and_writes_the_same(models: Path, tmp_path: Path) -> None:
    first = run_script(SCRIPT, *arguments(models), cwd=tmp_path)
    table = (tmp_path / "pruning_analysis.csv").read_bytes()
    second = run_script(SCRIPT, *arguments(models), cwd=tmp_path)

    assert second.stdout == first.stdout
    assert (tmp_path / "pruning_analysis.csv").read_bytes() == table
