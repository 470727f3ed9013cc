"""Both scripts take every format on either side, and say the same of the same model."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import prunescope
from prunescope.cli import analyze, size
from prunescope.cli.run import run
from tests.support.formats import WRITERS
from tests.support.pruning import described, plan, prune_tiny
from tests.support.tiny import tiny_folder
from tests.support.web import FolderHandler, serve

# Of the tiny model: q, o 32 × 24; k, v 16 × 24; gate, up 20 × 24; down 24 × 20; two norms.
LAYER = (2 * 32 + 2 * 16 + 3 * 20 + 2) * 24
OUTSIDE = (2 * 320 + 1) * 24
# Half of two layers: one of two KV heads with two query heads, 10 of 20 channels.
LOST = (2 * 16 + 2 * 8 + 3 * 10) * 24
ORIGINAL, PRUNED = 4 * LAYER + OUTSIDE, 4 * LAYER + OUTSIDE - 2 * LOST


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Format → the original and its pruned model in that format."""
    base = tmp_path_factory.mktemp("formats")
    original = tiny_folder(base / "original")
    prune_tiny(described(original), plan()).save(base / "pruned")
    networks = [prunescope.load(folder) for folder in (original, base / "pruned")]
    found = {}
    for name, write in WRITERS.items():
        folders = [base / f"{name} {which}" for which in ("before", "after")]
        for folder in folders:
            folder.mkdir()
        before, after = (write(n, f) for n, f in zip(networks, folders, strict=True))
        found[name] = before, after
    return found


def call(command: object, *arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        run(command, "en", list(arguments))  # type: ignore[arg-type]
    return int(ended.value.code or 0)


def analysed(
    before: str, after: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[str, list[dict[str, str]]]:
    """What `analyze_pruning.py` prints, and the rows of its CSV."""
    table = folder / "table.csv"
    assert call(
        analyze.script, "--original_model", before, "--pruned_model", after, "--output", str(table)
    ) == 0  # fmt: skip
    with table.open(encoding="utf-8", newline="") as stream:
        return capsys.readouterr().out, list(csv.DictReader(stream))


def check(printed: str, rows: list[dict[str, str]]) -> None:
    lines = printed.splitlines()
    assert f"Original parameters: {ORIGINAL:,}" in lines
    assert f"Pruned parameters: {PRUNED:,}" in lines
    assert len(rows) == 4 * 7
    for row in rows:
        assert float(row["稀疏度"]) == (0.5 if row["层编号"] in "12" else 0)


@pytest.mark.parametrize("name", WRITERS)
def test_analysis_of_a_pair_in_one_format(
    saved: dict[str, tuple[Path, Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    before, after = saved[name]
    check(*analysed(str(before), str(after), tmp_path, capsys))


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "safetensors"])
def test_analysis_against_safetensors_on_either_side(
    saved: dict[str, tuple[Path, Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    plain, other = saved["safetensors"], saved[name]
    check(*analysed(str(plain[0]), str(other[1]), tmp_path, capsys))
    check(*analysed(str(other[0]), str(plain[1]), tmp_path, capsys))


@pytest.mark.parametrize("name", WRITERS)
def test_size_counts_the_same_parameters(
    saved: dict[str, tuple[Path, Path]], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before, after = map(str, saved[name])
    code = call(size.script, "--original_model", before, "--pruned_model", after, "--json")
    assert code == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert [model["parameters"] for model in models] == [ORIGINAL, PRUNED]


def test_a_web_server_is_one_more_place(
    saved: dict[str, tuple[Path, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("sharded safetensors", "LLM-Pruner", "GGUF"):
        before, after = saved[name]
        with serve(FolderHandler, before.parent) as site:
            check(*analysed(f"{site.url}/{before.name}", str(after), tmp_path, capsys))
