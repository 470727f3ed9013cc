"""A GGUF model in shards is one model, whichever of its files is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest

from prunescope.checkpoint import Checkpoint, open_checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from tests.support.ggufs import finish, tiny_weights, write_gguf

NAMES = [f"m-0000{n}-of-00003.gguf" for n in (1, 2, 3)]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """21 tensors in shards of at most eight, by llama.cpp's own library; its head is untied."""
    folder = tmp_path / "model"
    folder.mkdir()
    write_gguf(folder / "m.gguf", tiny_weights()[0], shard_tensors=8)
    assert sorted(file.name for file in folder.iterdir()) == NAMES
    return folder


def whole(checkpoint: Checkpoint) -> None:
    stored = tiny_weights()[0]
    assert set(checkpoint.tensors) == set(stored)
    assert [file.name for file in checkpoint.files] == NAMES
    with WeightMap() as weights:
        for name, values in stored.items():
            assert bytes(weights.view(checkpoint.tensors[name])) == values.tobytes()


def test_a_folder_of_shards_is_one_model(model: Path) -> None:
    checkpoint = open_checkpoint(model)

    whole(checkpoint)
    assert checkpoint.config["hidden_size"] == 64
    assert checkpoint.config["vocab_size"] == 40
    assert checkpoint.config["tie_word_embeddings"] is False


@pytest.mark.parametrize("name", NAMES)
def test_any_shard_stands_for_the_model(model: Path, name: str) -> None:
    (model / "other.gguf").write_bytes(b"not asked for")

    whole(open_checkpoint(model / name))


def test_without_a_head_in_any_shard_it_is_tied(tmp_path: Path) -> None:
    stored = {name: w for name, w in tiny_weights()[0].items() if name != "output.weight"}
    write_gguf(tmp_path / "m.gguf", stored, shard_tensors=8)

    assert open_checkpoint(tmp_path).config["tie_word_embeddings"] is True


def test_a_first_shard_without_tensors_is_one(tmp_path: Path) -> None:
    # What llama-gguf-split --no-tensor-first-split writes.
    writer = gguf.GGUFWriter(
        tmp_path / "m.gguf", "llama", split_max_tensors=4, small_first_shard=True
    )
    for n in range(6):
        writer.add_tensor(f"t{n}", np.ones(2, np.float32))
    finish(writer)

    checkpoint = open_checkpoint(tmp_path)

    assert len(checkpoint.files) == 3
    assert list(checkpoint.tensors) == [f"t{n}" for n in range(6)]


def refuse(path: Path, cause: str) -> None:
    with pytest.raises(CheckpointError, match=cause) as caught:
        open_checkpoint(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("missing", NAMES)
def test_a_missing_shard_is_named(model: Path, missing: str) -> None:
    (model / missing).unlink()

    refuse(model, f"shard '{missing}' is missing")
    refuse(next(model.iterdir()), f"shard '{missing}' is missing")


def test_a_shard_under_anothers_number_is_refused(model: Path) -> None:
    shutil.copyfile(model / NAMES[0], model / NAMES[1])

    refuse(model, rf"{NAMES[1]}: is shard 2 of 3 by its name and shard no. 0 \(from 0\) of 3")


@pytest.mark.parametrize("name", ["m-00000-of-00003.gguf", "m-00004-of-00003.gguf"])
def test_a_number_that_no_shard_has_is_refused(model: Path, name: str) -> None:
    shutil.copyfile(model / NAMES[2], model / name)

    refuse(model, f"'{name}' has a number that no shard has")
    refuse(model / name, f"'{name}' has a number that no shard has")


def test_a_shard_without_its_name_is_refused(model: Path) -> None:
    lone = (model / NAMES[1]).rename(model.parent / "lone.gguf")

    refuse(lone, r"lone.gguf: is no shard by its name and shard no. 1 \(from 0\) of 3")


def test_a_whole_model_with_a_shards_name_is_refused(tmp_path: Path) -> None:
    for name in NAMES:
        write_gguf(tmp_path / name, tiny_weights()[0])

    refuse(tmp_path, f"{NAMES[0]}: is shard 1 of 3 by its name and no shard by its header")


def test_shards_of_two_splits_are_refused(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    stored = dict(list(tiny_weights()[0].items())[:18])
    write_gguf(other / "m.gguf", stored, shard_tensors=8)
    shutil.copyfile(other / NAMES[2], model / NAMES[2])

    refuse(model, f"{NAMES[0]}: the shards hold 18 tensors, not 21")


def test_one_of_one_is_an_ordinary_file(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", tiny_weights()[0])
    path.rename(tmp_path / "m-00001-of-00001.gguf")

    assert len(open_checkpoint(tmp_path).tensors) == 21


def test_several_models_in_a_folder_are_listed(model: Path) -> None:
    write_gguf(model / "m-Q8_0.gguf", tiny_weights()[0])

    refuse(model, r"holds several GGUF models, name one: m-00001-of-00003\.gguf, m-Q8_0\.gguf")


def test_other_weights_in_the_folder_come_first(model: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"w": torch.ones(1)}, model / "model.safetensors")

    assert list(open_checkpoint(model).tensors) == ["w"]
