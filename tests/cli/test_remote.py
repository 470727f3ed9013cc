"""The scripts take remote models on either side, and refuse what they cannot do from afar."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hub import TOKEN, Hub, Model, serve_hub
from tests.support.scripts import run_script
from tests.support.sparse import LlamaShape, llama_shapes, write_model, write_torch_zip
from tests.support.web import FolderHandler, Site, serve

SMALL = LlamaShape(3, 8, 12, 4, 2, 2, 10, tied=False)
PRUNED = llama_shapes(SMALL, range(1, 2), channels=3)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """An original folder and a pruned `.bin`."""
    write_model(tmp_path / "original", SMALL, llama_shapes(SMALL))
    write_torch_zip(tmp_path / "pruned.bin", PRUNED)
    return tmp_path


@pytest.fixture
def site(here: Path) -> Iterator[Site]:
    with serve(FolderHandler, here) as site:
        yield site


@pytest.fixture
def hub(here: Path) -> Iterator[Hub]:
    with serve_hub(here) as hub:
        hub.models["org/original"] = Model(here / "original", private=True)
        yield hub


def settings(hub: Hub, here: Path) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.site.url, "HF_HOME": str(here / "home"), "HF_TOKEN": TOKEN}


def test_an_original_on_the_web_and_a_local_pruned_model(here: Path, site: Site) -> None:
    local = run_script(
        "analyze_pruning.py", "--original_model=original", "--pruned_model=pruned.bin",
        "--output=local.csv", cwd=here,
    )  # fmt: skip
    remote = run_script(
        "analyze_pruning.py", f"--original_model={site.url}/original/model.safetensors",
        "--pruned_model=pruned.bin", "--output=remote.csv", cwd=here,
    )  # fmt: skip

    assert (local.returncode, remote.returncode) == (0, 0)
    assert remote.stderr == ""
    assert (here / "remote.csv").read_bytes() == (here / "local.csv").read_bytes()
    rows = list(csv.DictReader((here / "remote.csv").open(encoding="utf-8")))
    assert [row["稀疏度"] for row in rows if row["模块名称"] == "MLP Gate Projection"] == [
        "0.000000", "0.250000", "0.000000",
    ]  # fmt: skip


def test_both_sides_remote(here: Path, site: Site, hub: Hub) -> None:
    done = run_script(
        "analyze_pruning.py", "--original_model=org/original",
        f"--pruned_model={site.url}/pruned.bin", "--json", cwd=here, **settings(hub, here),
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["original"] == "org/original"
    # Three rows of gate and up and three columns of down, 8 wide.
    assert result["parameters"]["original"] - result["parameters"]["pruned"] == 3 * 3 * 8


def test_sizes_of_remote_models(here: Path, site: Site, hub: Hub) -> None:
    weights = (here / "original" / "model.safetensors").stat().st_size
    folder = weights + (here / "original" / "config.json").stat().st_size

    done = run_script(
        "check_model_size.py", "--original_model=hf://org/original",
        f"--pruned_model={site.url}/pruned.bin?key=k3y", "--json",
        cwd=here, **settings(hub, here),
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    original, pruned = json.loads(done.stdout)["models"]
    assert (original["weight_bytes"], original["folder_bytes"]) == (weights, folder)
    assert pruned["weight_bytes"] == (here / "pruned.bin").stat().st_size
    assert pruned["folder_bytes"] is None
    assert "k3y" not in done.stdout


def test_a_folder_that_cannot_be_listed_has_no_size(here: Path, site: Site) -> None:
    done = run_script(
        "check_model_size.py", f"--original_model={site.url}/original/model.safetensors",
        "--lang=en", cwd=here, COLUMNS="200",
    )  # fmt: skip

    row = next(line for line in done.stdout.splitlines() if "model.safetensors" in line)
    assert row.split()[1:4] == ["0.00", "GB", "-"]


@pytest.mark.parametrize("importance", ["l2", "taylor"])
def test_a_remote_model_is_not_pruned(here: Path, site: Site, importance: str) -> None:
    done = run_script(
        "llama3.py", f"--base_model={site.url}/original/model.safetensors",
        f"--pruner_type={importance}", "--block_mlp_layer_start=1", "--block_mlp_layer_end=2",
        "--block_attention_layer_start=1", "--block_attention_layer_end=2", "--save_model",
        "--lang=en", "--device=cpu", "--quiet", cwd=here,
    )  # fmt: skip

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "is remote: download the model" in done.stderr
    assert not (here / "prune_log").exists()


def test_a_failure_is_one_line(here: Path, hub: Hub) -> None:
    (here / "home").mkdir()
    done = run_script(
        "analyze_pruning.py", "--original_model=org/none", "--pruned_model=pruned.bin",
        "--lang=en", cwd=here, **settings(hub, here),
    )  # fmt: skip

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: org/none: no such file or directory; as a hub's model:")
    assert len(done.stderr.splitlines()) == 1
    assert TOKEN not in done.stderr


def test_local_paths_import_nothing_remote(here: Path) -> None:
    done = run_script(
        "analyze_pruning.py", "--original_model=original", "--pruned_model=pruned.bin",
        cwd=here, python=("-X", "importtime"),
    )  # fmt: skip

    assert done.returncode == 0
    for module in ("fsspec", "huggingface_hub", "requests", "http.client", "checkpoint.remote"):
        assert module not in done.stderr


def test_the_web_needs_neither_fsspec_nor_huggingface_hub(here: Path, site: Site) -> None:
    done = run_script(
        "check_model_size.py", f"--original_model={site.url}/original/model.safetensors",
        cwd=here, python=("-X", "importtime"),
    )  # fmt: skip

    assert done.returncode == 0
    assert "prunescope.checkpoint.remote" in done.stderr
    assert "fsspec" not in done.stderr
    assert "huggingface_hub" not in done.stderr
