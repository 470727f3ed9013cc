"""No index, name or link leads a reader out of the model's folder or past a missing tensor."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prunescope.checkpoint import jsonfile, open_checkpoint
from prunescope.errors import CheckpointError
from tests.checkpoint.test_folder import put, put_index


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An empty folder beside a model that nothing in it may reach."""
    put(tmp_path / "secret" / "model.safetensors", "w")
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


def refuse(model: Path, cause: str) -> str:
    with pytest.raises(CheckpointError, match=cause) as caught:
        open_checkpoint(model)
    message = str(caught.value)
    assert message.isprintable()
    return message


@pytest.mark.parametrize(
    "name",
    [
        "../secret/model.safetensors",
        "sub/../../secret/model.safetensors",
        "..",
        "/etc/passwd",
        "..\\secret\\model.safetensors",
        "a\\b.safetensors",
        "model\0.safetensors",
    ],
)
def test_an_index_cannot_name_a_file_outside(model: Path, name: str) -> None:
    put_index(model / "model.safetensors.index.json", {"w": name})

    refuse(model, "leads out of the folder")


def test_an_absolute_name_is_refused_even_of_a_file_inside(model: Path) -> None:
    shard = put(model / "shard.safetensors", "w")
    put_index(model / "model.safetensors.index.json", {"w": str(shard)})

    refuse(model, "leads out of the folder")


def test_a_shard_in_a_sub_folder_is_inside(model: Path) -> None:
    put(model / "sub" / "shard.safetensors", "w")
    put_index(model / "model.safetensors.index.json", {"w": "sub/shard.safetensors"})

    assert list(open_checkpoint(model).tensors) == ["w"]


@pytest.mark.parametrize("name", ["gone.safetensors", "", ".", "sub"])
def test_a_missing_shard_is_named(model: Path, name: str) -> None:
    (model / "sub").mkdir()
    put_index(model / "model.safetensors.index.json", {"w": name})

    assert f"shard {name!r} is missing" in refuse(model, "missing")


@pytest.mark.parametrize("name", ["a" * 5000, "\ud800"])
def test_a_name_no_file_can_have_is_refused(model: Path, name: str) -> None:
    put_index(model / "model.safetensors.index.json", {"w": name})

    refuse(model, "cannot be|is missing")


@pytest.mark.parametrize("weight_map", [None, {}, [], "x", {"w": 1}, {"w": None}, {"w": ["a"]}])
def test_a_weight_map_that_maps_no_names_is_refused(model: Path, weight_map: object) -> None:
    put_index(model / "model.safetensors.index.json", weight_map)

    refuse(model, "weight_map")


@pytest.mark.parametrize(
    ("weight_map", "cause"),
    [
        ({"a": "1.safetensors", "b": "1.safetensors"}, "tensor 'b' is not in shard 1"),
        ({"a": "1.safetensors", "z": "2.safetensors"}, "tensor 'b' is not in the shard index"),
        (
            {"a": "1.safetensors", "b": "1.safetensors", "z": "2.safetensors"},
            "tensor 'b' is listed in 1.safetensors",
        ),
        (
            {"a": "1.safetensors", "b": "2.safetensors", "c": "2.safetensors"},
            "tensor 'c' is not in shard 2.safetensors",
        ),
    ],
    ids=["its shard not named", "not listed", "in another shard", "listed but absent"],
)
def test_index_and_shards_must_agree(model: Path, weight_map: dict[str, str], cause: str) -> None:
    put(model / "1.safetensors", "a")
    put(model / "2.safetensors", "b")
    put_index(model / "model.safetensors.index.json", weight_map)

    refuse(model, cause)


def test_a_tensor_in_two_shards_is_refused(model: Path) -> None:
    put(model / "1.safetensors", "a", "b")
    put(model / "2.safetensors", "b")
    put_index(model / "model.safetensors.index.json", {"a": "1.safetensors", "b": "2.safetensors"})

    refuse(model, r"1\.safetensors: tensor 'b' is listed in 2\.safetensors")


def test_a_link_out_of_the_folder_is_refused(model: Path) -> None:
    (model / "model.safetensors").symlink_to("../secret/model.safetensors")

    refuse(model, "link that leaves the model's folder")


def test_a_linked_folder_out_of_the_folder_is_refused(model: Path) -> None:
    (model / "sub").symlink_to("../secret")
    put_index(model / "model.safetensors.index.json", {"w": "sub/model.safetensors"})

    refuse(model, "link that leaves the model's folder")


def test_a_config_that_is_a_link_out_of_the_folder_is_refused(model: Path) -> None:
    put(model / "model.safetensors", "w")
    (model.parent / "secret" / "config.json").write_text("{}")
    (model / "config.json").symlink_to("../secret/config.json")

    refuse(model, "link that leaves the model's folder")


def test_a_loop_of_links_is_refused(model: Path) -> None:
    (model / "loop.safetensors").symlink_to("loop.safetensors")
    put_index(model / "model.safetensors.index.json", {"w": "loop.safetensors"})

    refuse(model, r"loop\.safetensors")


def test_links_within_the_folder_and_to_the_folder_are_followed(model: Path) -> None:
    put(model / "weights.safetensors", "w")
    (model / "model.safetensors").symlink_to("weights.safetensors")
    alias = model.parent / "alias"
    alias.symlink_to(model)

    assert list(open_checkpoint(model).tensors) == ["w"]
    assert list(open_checkpoint(alias).tensors) == ["w"]


def test_a_snapshot_of_the_hub_cache_links_to_its_own_blobs(tmp_path: Path) -> None:
    repository = tmp_path / "models--org--name"
    snapshot = repository / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    put(repository / "blobs" / "deadbeef.safetensors", "w").rename(repository / "blobs" / "beef")
    (repository / "blobs" / "cafe").write_text('{"model_type": "llama"}')
    (snapshot / "model.safetensors").symlink_to("../../blobs/beef")
    (snapshot / "config.json").symlink_to("../../blobs/cafe")

    for named in (snapshot, snapshot / "model.safetensors"):
        assert open_checkpoint(named).config == {"model_type": "llama"}

    # The same link elsewhere is one that leaves the folder.
    repository.joinpath("snapshots").rename(repository / "copies")
    refuse(repository / "copies" / "0123abc", "link that leaves the model's folder")


def test_a_snapshot_cannot_link_to_the_blobs_of_another_model(tmp_path: Path) -> None:
    put(tmp_path / "models--other" / "blobs" / "x.safetensors", "w")
    snapshot = tmp_path / "models--mine" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to("../../../models--other/blobs/x.safetensors")

    refuse(snapshot, "link that leaves the model's folder")


def test_an_index_beyond_the_bound_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_index(model / "model.safetensors.index.json", {"w": "w.safetensors"})
    monkeypatch.setattr(jsonfile, "MAX_JSON_FILE", 10)

    refuse(model, "shard index is over")


def test_a_folder_named_like_a_weight_file_is_not_one(model: Path) -> None:
    (model / "model.safetensors").mkdir()

    refuse(model, "no weights here")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_named(model: Path) -> None:
    path = put(model / "model.safetensors", "w")
    path.chmod(0)

    refuse(path, "cannot be read")


def test_reading_errors_of_the_system_are_one_line(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", broken)

    assert refuse(model, "Permission denied") == f"{model}: cannot be read (Permission denied)"
