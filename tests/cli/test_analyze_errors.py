"""What cannot be analysed ends in one line that names file and cause, and touches no file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.scripts import run_script
from tests.support.sparse import LlamaShape, llama_shapes, write_model, write_safetensors

SCRIPT = "analyze_pruning.py"
SMALL = LlamaShape(3, 8, 12, 4, 2, 2, 10, tied=False)
CSV = "pruning_analysis.csv"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A sound pair in `original` and `pruned`, and the table of an earlier run."""
    write_model(tmp_path / "original", SMALL, llama_shapes(SMALL))
    write_model(tmp_path / "pruned", SMALL, llama_shapes(SMALL, range(1, 2), channels=3))
    (tmp_path / CSV).write_text("an earlier table\n")
    return tmp_path


def weights(here: Path) -> Path:
    return here / "pruned" / "model.safetensors"


def missing(here: Path) -> None:
    (here / "pruned").rename(here / "elsewhere")


def without_weights(here: Path) -> None:
    weights(here).unlink()


def not_a_model(here: Path) -> None:
    weights(here).write_bytes(b"\xff" * 100)


def truncated(here: Path) -> None:
    with weights(here).open("r+b") as stream:
        stream.truncate(weights(here).stat().st_size - 1)


def truncated_torch(here: Path) -> None:
    weights(here).unlink()
    (here / "pruned" / "pytorch_model.bin").write_bytes(b"PK\x03\x04" + bytes(100))


def shard_missing(here: Path) -> None:
    index = {"weight_map": {"w": "gone.safetensors"}}
    weights(here).rename(here / "pruned" / "other.safetensors")
    (here / "pruned" / "model.safetensors.index.json").write_text(json.dumps(index))


def of_type(model_type: str) -> Callable[[Path], None]:
    def change(here: Path) -> None:
        config = SMALL.config() | {"model_type": model_type}
        (here / "pruned" / "config.json").write_text(json.dumps(config))

    return change


def broken_config(here: Path) -> None:
    (here / "pruned" / "config.json").write_text("{")


def foreign_tensor(here: Path) -> None:
    write_safetensors(weights(here), llama_shapes(SMALL) | {"visual.weight": (1, 1)})


def swapped(here: Path) -> None:
    (here / "pruned").rename(here / "x")
    (here / "original").rename(here / "pruned")
    (here / "x").rename(here / "original")


CASES = {
    "missing": (missing, "pruned: no such file or directory"),
    "without weights": (without_weights, "pruned: no weights here"),
    "not a model": (not_a_model, "pruned/model.safetensors: safetensors header of"),
    "truncated": (truncated, "pruned/model.safetensors: truncated inside tensor"),
    "truncated torch file": (truncated_torch, "pruned/pytorch_model.bin: truncated"),
    "a shard missing": (shard_missing, "index.json: shard 'gone.safetensors' is missing"),
    "two families": (of_type("mistral"), "pruned: model_type 'mistral', the original's is 'llama'"),
    "unknown architecture": (
        of_type("rwkv"),
        "pruned: model_type 'rwkv', the original's is 'llama'",
    ),
    "broken config": (broken_config, "pruned/config.json: config.json is not JSON"),
    "foreign tensor": (foreign_tensor, "pruned: tensor 'visual.weight' of shape [1, 1] has no"),
    "swapped": (swapped, "(are the two swapped?)"),
}


@pytest.mark.parametrize("case", CASES)
def test_an_error_is_one_line_and_changes_nothing(here: Path, case: str) -> None:
    spoil, cause = CASES[case]
    spoil(here)
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*")}

    done = run_script(
        SCRIPT, "--original_model", "original", "--pruned_model", "pruned", "--plot", "p.png",
        cwd=here,
    )  # fmt: skip

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("错误: ")
    assert cause in done.stderr
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*")} == before
    assert (here / CSV).read_text() == "an earlier table\n"


def test_the_line_is_english_when_asked(here: Path) -> None:
    missing(here)

    done = run_script(
        SCRIPT, "--original_model=original", "--pruned_model=pruned", "--lang=en", cwd=here
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: pruned: no such file or directory\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "--original_model"),
        (("--original_model", "original"), "--pruned_model"),
        (("--original_model", "original", "--pruned_model"), "--pruned_model"),
        (("--original_model=original", "--pruned_model=pruned", "--colour"), "--colour"),
        (("--original_model=original", "--pruned_model=pruned", "more"), "more"),
        (("--original_model=original", "--pruned_model=pruned", "--lang", "de"), "de"),
    ],
)
def test_a_wrong_option_is_one_line(here: Path, arguments: tuple[str, ...], named: str) -> None:
    done = run_script(SCRIPT, *arguments, cwd=here)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert named in done.stderr


@pytest.mark.parametrize("output", ["none/table.csv", "original"])
def test_a_table_that_cannot_be_written_is_one_line(here: Path, output: str) -> None:
    before = sorted(here.rglob("*"))

    done = run_script(
        SCRIPT, "--original_model=original", "--pruned_model=pruned", "--output", output, cwd=here
    )

    assert done.returncode == 2
    assert done.stderr.startswith(f"错误: {output}: cannot be written (")
    assert done.stderr.count("\n") == 1
    assert sorted(here.rglob("*")) == before


def test_a_table_does_not_replace_weights(here: Path) -> None:
    (here / "link.bin").symlink_to("pruned/model.safetensors")
    before = weights(here).read_bytes()

    for output in ("pruned/model.safetensors", "link.bin"):
        done = run_script(
            SCRIPT, "--original_model=original", "--pruned_model=pruned", "--output", output,
            cwd=here,
        )  # fmt: skip
        assert done.returncode == 2
        assert done.stderr == f"错误: {output}: has weights of pruned: name another file\n"
    assert weights(here).read_bytes() == before
    config = here / "original" / "config.json"
    before = config.read_bytes()
    done = run_script(
        SCRIPT, "--original_model=original", "--pruned_model=pruned", "--output",
        "original/config.json", cwd=here,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.endswith("config.json: is the config of original: name another file\n")
    assert config.read_bytes() == before


def test_a_plot_of_an_unknown_kind_is_one_line(here: Path) -> None:
    done = run_script(
        SCRIPT, "--original_model=original", "--pruned_model=pruned", "--plot=p.bmp", cwd=here
    )

    assert done.returncode == 2
    assert done.stderr == "错误: p.bmp: a plot ends in .png, .svg, .pdf\n"
    assert not (here / "p.bmp").exists()
