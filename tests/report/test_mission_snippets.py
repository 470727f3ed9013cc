"""Every pandas snippet that users were promised runs unchanged on the CSV.

`snippets/` holds them as they stand in the instructions, to the letter.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from prunescope.analysis.compare import compare
from prunescope.checkpoint import open_checkpoint
from prunescope.report.table_csv import write_csv
from tests.support.sparse import SMOLLM2, llama_shapes, write_model

SNIPPETS = Path(__file__).parent / "snippets"
pytestmark = pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive:UserWarning")


@pytest.fixture
def analysed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with `detailed_analysis.csv`: SmolLM2, layers 3..26 pruned.

    One of three GQA groups (a third of q, k, v, o) and 384 of 1536 channels (a quarter of gate,
    up, down); layer 20 lost half of its channels.
    """
    pruned = llama_shapes(SMOLLM2, range(3, 27), q_rows=192, kv_rows=64, channels=384)
    for name in ("gate_proj", "up_proj"):
        pruned[f"model.layers.20.mlp.{name}.weight"] = (768, 576)
    pruned["model.layers.20.mlp.down_proj.weight"] = (576, 768)
    a = write_model(tmp_path / "a", SMOLLM2, llama_shapes(SMOLLM2))
    b = write_model(tmp_path / "b", SMOLLM2, pruned)
    comparison = compare(open_checkpoint(a), open_checkpoint(b))
    write_csv(comparison, tmp_path / "detailed_analysis.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return tmp_path


def run(name: str) -> dict[str, Any]:
    """Execute a snippet as a script would be; the names it leaves behind."""
    import matplotlib

    # An earlier test may have chosen another backend in this process.
    matplotlib.use("Agg")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    text = (SNIPPETS / name).read_text(encoding="utf-8")
    exec(compile(text, name, "exec"), namespace)
    return namespace


def test_step_4_draws_the_sparsity_of_each_layer(
    analysed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = run("step_4_analyse_csv.txt")

    assert list(names["layer_3"]["原始参数量"]) == [331776, 110592, 110592, 331776, *[884736] * 3]
    sparsity = names["layer_sparsity"]
    assert list(sparsity.index) == list(range(30))
    # Four modules of seven lost a third, three a quarter; in layer 20 three lost a half.
    third_and_quarter = (4 / 3 + 3 / 4) / 7
    for layer, value in sparsity.items():
        expected = third_and_quarter if 3 <= layer < 27 else 0
        if layer == 20:
            expected = (4 / 3 + 3 / 2) / 7
        # Six decimals in the file.
        assert value == pytest.approx(expected, abs=1e-6)
    assert all(sparsity[n] == 0 for n in (0, 1, 2, 27, 28, 29))
    png = (analysed / "sparsity_visualization.png").read_bytes()
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    # 15 × 5 inches at 150 dots per inch, in the IHDR chunk.
    assert struct.unpack(">II", png[16:24]) == (2250, 750)
    assert "Attention Q Projection" in capsys.readouterr().out


def test_question_5_finds_outliers_and_the_pruned_range(
    analysed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = run("question_5_use_results.txt")

    assert [int(n) for n in sorted(names["unpruned"])] == [0, 1, 2, 27, 28, 29]
    outliers = names["outliers"]
    # A quarter or more in every module of 24 layers is above 0.2.
    assert len(outliers) == 24 * 7
    assert set(outliers["层编号"]) == set(range(3, 27))
    printed = capsys.readouterr().out
    assert "未剪枝的层: " in printed
    assert "MLP Down Projection" in printed
    # describe() of the gate: 30 values, of which 6 are 0, 23 a quarter and one a half.
    gate = names["df"].groupby("模块名称")["稀疏度"].describe().loc["MLP Gate Projection"]
    assert gate["count"] == 30
    assert gate["mean"] == pytest.approx((23 / 4 + 1 / 2) / 30)
    assert (gate["min"], gate["max"]) == (0, 0.5)


def test_columns_are_read_as_numbers(analysed: Path) -> None:
    frame = run("question_5_use_results.txt")["df"]

    assert len(frame) == 30 * 7
    for column in ("层编号", "原始参数量", "剪枝后参数量"):
        assert frame[column].dtype == "int64", column
    for column in ("保留率", "稀疏度"):
        assert frame[column].dtype == "float64", column
    assert not frame.isna().any().any()
