"""`check_model_size.py` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.scripts import run_script, run_without_reader
from tests.support.sparse import (
    LLAMA_3_8B,
    SMOLLM2,
    llama_shapes,
    write_model,
    write_torch_zip,
)

SCRIPT = "check_model_size.py"
GIB = 2**30


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Llama-3-8B, and the mission's pruning of it under `prune_log` beside two others."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "Llama-3-8B-Instruct", LLAMA_3_8B, llama_shapes(LLAMA_3_8B))
    pruned = llama_shapes(LLAMA_3_8B, range(3, 30), q_rows=256, kv_rows=256, channels=3584)
    log = folder / "prune_log"
    (log / "llama_prune").mkdir(parents=True)
    write_torch_zip(log / "llama_prune" / "pytorch_model.bin", pruned)
    write_model(log / "another", SMOLLM2, llama_shapes(SMOLLM2))
    # A run's log and a run in progress are not models.
    (log / "only_logs").mkdir()
    (log / "only_logs" / "train.log").write_text("x")
    write_model(log / ".half.x1", SMOLLM2, llama_shapes(SMOLLM2))
    return folder


PAIR = (
    "--original_model=Llama-3-8B-Instruct",
    "--pruned_model=prune_log/llama_prune/pytorch_model.bin",
)


def test_without_arguments_every_pruned_model_is_listed(models: Path) -> None:
    done = run_script(SCRIPT, cwd=models)

    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("prune_log")]
    # bf16: 134,515,008 · 2 B = 0.25 GiB and 6,727,929,856 · 2 B = 12.53 GiB.
    assert rows == [
        ["prune_log/another", "0.25", "GB", "0.25", "GB", "134,515,008", "BF16"],
        ["prune_log/llama_prune", "12.53", "GB", "12.53", "GB", "6,727,929,856", "BF16"],
    ]
    assert len(done.stdout.splitlines()) == 3 + 1 + 2


def test_the_missions_three_lines(models: Path) -> None:
    done = run_script(SCRIPT, *PAIR, cwd=models)

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    # The payloads, of which the headers are less than a ten-thousandth.
    original, pruned = 2 * 8_030_261_248 / GIB, 2 * 6_727_929_856 / GIB
    assert f"原始模型总大小: {original:.2f} GB" == "原始模型总大小: 14.96 GB"
    assert f"剪枝后模型大小: {pruned:.2f} GB" == "剪枝后模型大小: 12.53 GB"
    at = lines.index("原始模型总大小: 14.96 GB")
    assert lines[at + 1] == "剪枝后模型大小: 12.53 GB"
    assert lines[at + 2] == "物理空间减少: 2.43 GB (16.22%)"
    assert lines[at + 3] == "参数减少: 1,302,331,392 (16.22%)"
    assert "(1 GB = 2^30 字节; 大小指权重文件)" in lines


@pytest.mark.parametrize("option", PAIR)
def test_one_model_alone_is_one_row(models: Path, option: str) -> None:
    done = run_script(SCRIPT, option, cwd=models)

    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 3 + 1 + 1
    assert option.partition("=")[2] in done.stdout


def test_bytes_are_the_files_lengths_in_json(models: Path) -> None:
    done = run_script(SCRIPT, *PAIR, "--json", cwd=models)

    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["schema"] == "prunescope.size/1"
    original, pruned = found["models"]
    file = "prune_log/llama_prune/pytorch_model.bin"
    assert pruned["path"] == file
    assert pruned["weight_files"] == [file]
    assert pruned["weight_bytes"] == (models / file).stat().st_size
    assert pruned["folder_bytes"] is None
    assert pruned["format"] == "torch zip"
    folder = models / "Llama-3-8B-Instruct"
    assert original["weight_bytes"] == (folder / "model.safetensors").stat().st_size
    assert original["folder_bytes"] == sum(p.stat().st_size for p in folder.iterdir())
    assert original["dtypes"] == {"BF16": 8_030_261_248}
    assert original["tensor_bytes"] == 2 * 8_030_261_248
    assert [m["bits_per_weight"] for m in found["models"]] == [16, 16]
    assert [m["parameters"] for m in found["models"]] == [8_030_261_248, 6_727_929_856]


def test_the_language_can_be_chosen(models: Path) -> None:
    by_option = run_script(SCRIPT, *PAIR, "--lang", "en", cwd=models)
    by_variable = run_script(SCRIPT, *PAIR, cwd=models, PRUNESCOPE_LANG="en")

    assert "Space saved on disk: 2.43 GB (16.22%)" in by_option.stdout.splitlines()
    assert by_variable.stdout == by_option.stdout


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_reader_that_leaves_early_gets_no_traceback(models: Path, more: tuple[str, ...]) -> None:
    _, errors = run_without_reader(SCRIPT, *PAIR, *more, cwd=models)

    assert errors == b""


def test_help_has_an_example(tmp_path: Path) -> None:
    for language, word in (("zh", "示例:"), ("en", "Example:")):
        done = run_script(SCRIPT, "--help", "--lang", language, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        text = " ".join(done.stdout.split())
        assert f"{word} python check_model_size.py --original_model" in text


def make_empty_log(here: Path) -> None:
    (here / "prune_log").mkdir()


def make_damaged_log(here: Path) -> None:
    (here / "prune_log" / "a").mkdir(parents=True)
    (here / "prune_log" / "a" / "pytorch_model.bin").write_bytes(b"PK\x03\x04")


def make_text(here: Path) -> None:
    (here / "notes.txt").write_text("no model")


def make_truncated(here: Path) -> None:
    (here / "m.safetensors").write_bytes(b"\x40" + bytes(7) + b"{")


def test_damaged_models_do_not_hide_the_others(tmp_path: Path) -> None:
    log = tmp_path / "prune_log"
    write_model(log / "good", SMOLLM2, llama_shapes(SMOLLM2))
    for name in ("a", "z"):
        (log / name).mkdir()
        (log / name / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    listed = run_script(SCRIPT, cwd=tmp_path)
    assert listed.returncode == 2
    rows = [line.split()[0] for line in listed.stdout.splitlines() if line.startswith("prune_log")]
    assert rows == ["prune_log/good"]
    first, second = listed.stderr.splitlines()
    assert first.startswith("错误: prune_log/a/pytorch_model.bin: truncated")
    assert second.startswith("错误: prune_log/z/pytorch_model.bin: truncated")


CASES = {
    "nothing pruned yet": (None, (), "prune_log: no such folder: prune a model first"),
    "an empty log": (make_empty_log, (), "prune_log: holds no pruned model"),
    "a damaged model": (make_damaged_log, (), "prune_log/a/pytorch_model.bin: truncated"),
    "missing": (None, ("--pruned_model=gone.bin",), "gone.bin: no such file or directory"),
    "a folder without weights": (make_empty_log, ("--original_model=prune_log",), "no weights"),
    "no model": (make_text, ("--original_model=notes.txt",), "notes.txt: in no format"),
    "truncated": (make_truncated, ("--original_model=m.safetensors",), "m.safetensors: truncated"),
    "an unknown option": (None, ("--orignal_model=x",), "--orignal_model"),
}


@pytest.mark.parametrize("case", CASES)
def test_an_error_is_one_line(tmp_path: Path, case: str) -> None:
    make, arguments, cause = CASES[case]
    if make is not None:
        make(tmp_path)

    done = run_script(SCRIPT, *arguments, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("错误: ")
    assert done.stderr.count("\n") == 1
    assert cause in done.stderr
