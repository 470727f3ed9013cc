"""`examples/end_to_end.sh`: pruned, recovered, measured, exported, and run by llama.cpp."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from prunescope.checkpoint import open_checkpoint
from tests.e2e.conftest import scripts_in
from tests.support.scripts import ROOT, environment
from tests.support.tiny import tiny_folder

pytestmark = pytest.mark.xdist_group("end to end")
HAS_LLAMA_CPP = find_spec("llama_cpp") is not None
SMALLEST = {
    "ORIGINAL_MODEL": "models/tiny", "LAYER_START": "1", "LAYER_END": "3", "PRUNING_RATIO": "0.5",
    "PRUNER_TYPE": "l2", "RECOVERY_STEPS": "1", "EVAL_TOKENS": "300", "NEW_TOKENS": "4",
}  # fmt: skip


def run_in(folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["examples/end_to_end.sh"], cwd=folder,
        env=environment(PRUNESCOPE_LANG="en", OMP_NUM_THREADS="1", **changes),
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder after a run with the smallest settings, and what it printed."""
    folder = scripts_in(tmp_path_factory.mktemp("end"))
    tiny_folder(folder / "models" / "tiny")
    done = run_in(folder, **SMALLEST)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def json_of(folder: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "end_to_end" / name).read_text())["models"]
    return found


def cells(line: str, mark: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| \n").split(mark) if cell.strip()]


def test_its_table_has_the_commands_figures(run: tuple[Path, str]) -> None:
    folder, printed = run
    sizes = json_of(folder, "size.json") + json_of(folder, "size_recovered.json")
    found = json_of(folder, "eval.json") + json_of(folder, "eval_recovered.json")
    head = ["model", "parameters", "bytes on disk", "perplexity", "tokens/s"]
    wanted = [
        [
            name, f"{size['parameters']:,}", f"{size['weight_bytes']:,}",
            f"{one['perplexity']['value']:,.2f}",
            f"{median(one['speed']['decode_tokens_per_second']):,.1f}",
        ]
        for name, size, one in zip(("original", "pruned", "recovered"), sizes, found, strict=True)
    ]  # fmt: skip
    if HAS_LLAMA_CPP:
        head += ["GGUF bytes", "llama.cpp tokens/s"]
        for row, one in zip(wanted, json_of(folder, "llama_cpp.json"), strict=True):
            row += [f"{one['bytes']:,}", f"{one['tokens_per_second']:,.1f}"]
    markdown = (folder / "end_to_end" / "table.md").read_text("utf-8").splitlines()
    assert [cells(line, "|") for line in (markdown[0], *markdown[2:])] == [head, *wanted]
    assert [cells(line, "  ") for line in printed.splitlines()[-4:]] == [head, *wanted]


def test_its_models_are_where_it_says_and_what_it_says(run: tuple[Path, str]) -> None:
    folder, _ = run
    sizes = json_of(folder, "size.json") + json_of(folder, "size_recovered.json")
    paths = ["models/tiny", "prune_log/end_to_end", "end_to_end/recovered"]
    assert [size["path"] for size in sizes] == paths
    original, pruned, recovered = (open_checkpoint(folder / path) for path in paths)
    # Half of layers 1 and 2: a KV head of 2, two heads of 4, each of 8, and 10 of 20 channels,
    # each of 24 columns.
    assert original.parameters - pruned.parameters == 2 * (2 * 8 * 2 + 2 * 8 + 3 * 10) * 24
    assert {n: t.shape for n, t in recovered.tensors.items()} == {
        n: t.shape for n, t in pruned.tensors.items()
    }
    ggufs = [f"end_to_end/{name}.gguf" for name in ("original", "pruned", "recovered")]
    for gguf, path in zip(ggufs, paths, strict=True):
        assert (
            open_checkpoint(folder / gguf).parameters == open_checkpoint(folder / path).parameters
        )
    if HAS_LLAMA_CPP:
        run_there = [(one["path"], one["bytes"]) for one in json_of(folder, "llama_cpp.json")]
        assert run_there == [(gguf, (folder / gguf).stat().st_size) for gguf in ggufs]


def test_without_llama_cpp_it_says_how_to_get_it(run: tuple[Path, str]) -> None:
    """The rest of the table stands, and no figure of an earlier run comes into it."""
    folder, printed = run
    hint = "llama-cpp-python is not installed: left out; make test-interop installs it"
    assert (hint in printed) != HAS_LLAMA_CPP
    text = (ROOT / "Makefile").read_text("utf-8")
    assert "llama-cpp-python" in text[text.index("\ntest-interop:") :]
    copy = folder / "copy"
    copy.mkdir()
    for path in (folder / "end_to_end").glob("*.json"):
        if path.name != "llama_cpp.json":
            shutil.copy2(path, copy)
    done = subprocess.run(
        [folder / ".venv" / "bin" / "python", folder / "examples" / "end_to_end_table.py", copy],
        env=environment(PRUNESCOPE_LANG="zh"), capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert cells(done.stdout.splitlines()[0], "  ") == [
        "模型", "参数量", "磁盘字节数", "困惑度", "tokens/s"
    ]  # fmt: skip
    assert "GGUF" not in (copy / "table.md").read_text("utf-8")


def test_it_fails_before_any_work(tmp_path: Path) -> None:
    done = run_in(scripts_in(tmp_path), ORIGINAL_MODEL="no/such/model")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "end_to_end.sh: ORIGINAL_MODEL=no/such/model: no such folder\n"
