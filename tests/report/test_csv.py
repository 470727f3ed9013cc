"""The CSV is a contract: SmolLM2's shapes, pruned, to the digit."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from prunescope.analysis.compare import compare
from prunescope.analysis.compare_result import Comparison
from prunescope.checkpoint import open_checkpoint
from prunescope.report.table_csv import write_csv
from tests.support.sparse import SMOLLM2, Shapes, llama_shapes, write_model

HEADER = "层编号,模块名称,原始维度,剪枝后维度,原始参数量,剪枝后参数量,保留率,稀疏度"

# One of three GQA groups (a KV head of 64 rows, three query heads) and a quarter of 1536
# channels, in layers 3..26 of 30. 576 · 576 = 331776, 192 · 576 = 110592, 1536 · 576 = 884736.
PRUNED = llama_shapes(SMOLLM2, range(3, 27), q_rows=192, kv_rows=64, channels=384)
LAYER_3 = """\
3,Attention Q Projection,576 × 576,384 × 576,331776,221184,0.666667,0.333333
3,Attention K Projection,192 × 576,128 × 576,110592,73728,0.666667,0.333333
3,Attention V Projection,192 × 576,128 × 576,110592,73728,0.666667,0.333333
3,Attention O Projection,576 × 576,576 × 384,331776,221184,0.666667,0.333333
3,MLP Gate Projection,1536 × 576,1152 × 576,884736,663552,0.750000,0.250000
3,MLP Up Projection,1536 × 576,1152 × 576,884736,663552,0.750000,0.250000
3,MLP Down Projection,576 × 1536,576 × 1152,884736,663552,0.750000,0.250000
"""
LAYER_29_Q = "29,Attention Q Projection,576 × 576,576 × 576,331776,331776,1.000000,0.000000"


def comparison(folder: Path, pruned: Shapes) -> Comparison:
    a = write_model(folder / "a", SMOLLM2, llama_shapes(SMOLLM2))
    b = write_model(folder / "b", SMOLLM2, pruned)
    return compare(open_checkpoint(a), open_checkpoint(b))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("csv")
    path = folder / "table.csv"
    write_csv(comparison(folder, PRUNED), path)
    return path


def test_the_header_is_the_contracts(table: Path) -> None:
    assert table.read_bytes().split(b"\n")[0] == HEADER.encode("utf-8")


def test_rows_are_to_the_digit(table: Path) -> None:
    text = table.read_bytes().decode("utf-8")

    assert f"\n{LAYER_3}4," in text
    assert f"\n{LAYER_29_Q}\n" in text
    assert "\r" not in text
    assert text.endswith("\n")


def test_there_is_a_row_for_each_layer_and_projection_and_no_other(table: Path) -> None:
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))

    assert len(rows) == 7 * 30
    modules = [line.split(",")[1] for line in LAYER_3.splitlines()]
    assert [(r["层编号"], r["模块名称"]) for r in rows] == [
        (str(layer), module) for layer in range(30) for module in modules
    ]


def test_numbers_are_plain(table: Path) -> None:
    with table.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            for column in ("层编号", "原始参数量", "剪枝后参数量"):
                assert re.fullmatch(r"0|[1-9][0-9]*", row[column]), row
            for column in ("保留率", "稀疏度"):
                assert re.fullmatch(r"[01]\.[0-9]{6}", row[column]), row


def test_an_unpruned_modules_sparsity_is_exactly_zero(table: Path) -> None:
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))

    unpruned = {int(r["层编号"]) for r in rows if float(r["稀疏度"]) == 0.0}
    assert unpruned == {0, 1, 2, 27, 28, 29}
    assert {r["保留率"] for r in rows if int(r["层编号"]) in unpruned} == {"1.000000"}


def test_a_layer_that_is_gone_has_its_rows(tmp_path: Path) -> None:
    kept = {n: s for n, s in llama_shapes(SMOLLM2).items() if not n.startswith("model.layers.29.")}
    path = tmp_path / "table.csv"

    write_csv(comparison(tmp_path, kept), path)

    rows = path.read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + 7 * 30
    assert rows[-7] == "29,Attention Q Projection,576 × 576,-,331776,0,0.000000,1.000000"


def test_an_older_table_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old\n" * 100_000)

    write_csv(comparison(tmp_path, PRUNED), path)

    text = path.read_text(encoding="utf-8")
    assert text.startswith(HEADER)
    assert "old" not in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "table.csv"]


def test_the_same_models_give_the_same_bytes(tmp_path: Path, table: Path) -> None:
    path = tmp_path / "again.csv"

    write_csv(comparison(tmp_path, PRUNED), path)

    assert path.read_bytes() == table.read_bytes()
