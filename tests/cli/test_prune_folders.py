"""What lies in the wrong place, or is not there, is found before `llama3.py` begins its work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.support.prune_command import ON_CPU, RANGES, base_model, call, refused
from tests.support.pruning import edit_weights
from tests.support.tiny import edit_json

SOUND = ("--base_model", "tiny", *RANGES, *ON_CPU, "--save_model")
TAYLOR = ("--pruner_type", "taylor")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model in it."""
    base_model(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def without(name: str) -> Callable[[Path], object]:
    return lambda here: (here / "tiny" / name).unlink()


def another_model(here: Path) -> None:
    (here / "prune_log" / "llama_prune").mkdir(parents=True)
    (here / "prune_log" / "llama_prune" / "model.safetensors").write_text("another")


def untokenized(here: Path) -> None:
    for file in (here / "tiny").glob("tokenizer*"):
        file.unlink()


FOLDERS: dict[str, tuple[Callable[[Path], object], tuple[str, ...], str]] = {
    "no weights": (without("model.safetensors"), (), "tiny: no weights here"),
    "no config": (without("config.json"), (), "head_dim is not known without a config.json"),
    "another architecture": (
        lambda here: edit_json(here / "tiny" / "config.json", {"model_type": "rwkv"}),
        (),
        "tiny: no table knows architecture 'rwkv': prune needs to know",
    ),
    "no tokenizer to calibrate with": (untokenized, TAYLOR, "tiny: no usable tokenizer ("),
    "no tokenizer to test with": (
        untokenized,
        ("--test_after_train",),
        "tiny: no usable tokenizer (",
    ),
    "a file where the log should be": (
        lambda here: (here / "prune_log").write_text("mine"),
        (),
        "prune_log/llama_prune: cannot be written (prune_log is no writable folder)",
    ),
    "a link to a disk that is not mounted": (
        lambda here: (here / "prune_log").symlink_to("/none/such"),
        (),
        "prune_log/llama_prune: cannot be written (prune_log is no writable folder)",
    ),
    "another model in its place": (
        another_model,
        (),
        "prune_log/llama_prune: holds another model, model.safetensors",
    ),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_that_is_unfit_is_found_before_the_work(
    here: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    spoil, options, cause = FOLDERS[case]
    spoil(here)
    assert cause in refused(here, capsys, *SOUND, *options)


def test_weights_that_are_no_numbers_are_found_while_scoring(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "model.layers.2.mlp.up_proj.weight"
    edit_weights(here / "tiny", {name: torch.full((20, 24), torch.nan)})
    assert call(*SOUND) == 2
    assert capsys.readouterr().err == (
        "错误: the mlp scores of layer 2 are not finite: "
        "the weights or their gradients hold NaN or infinity\n"
    )
    assert not (here / "prune_log").exists()
