"""One shard of several never passes for a model that lost the rest to pruning."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from prunescope.analysis.compare import compare
from prunescope.analysis.cost import cost
from prunescope.analysis.size import compare_sizes, measure
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError, CheckpointError
from tests.support.tiny import tiny_network

INDEX = "model.safetensors.index.json"


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """A model in the shards that transformers writes."""
    folder = tmp_path / "sharded"
    tiny_network().save_pretrained(folder, max_shard_size="10KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    return folder


def shards(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.safetensors"))


def test_one_shard_is_no_side_of_a_comparison(sharded: Path) -> None:
    name = shards(sharded)[1]
    whole, part = open_checkpoint(sharded), open_checkpoint(sharded / name)
    count = len(whole.files)
    cause = rf"{name}: is shard 2 of {count}, not a whole model: name its folder or its index"

    for one, other in ((whole, part), (part, whole)):
        with pytest.raises(ArchitectureError, match=cause):
            compare(one, other)
        with pytest.raises(ArchitectureError, match=cause):
            compare_sizes(measure(one), measure(other))
    with pytest.raises(ArchitectureError, match=cause):
        cost(part)


def test_what_one_shard_holds_can_still_be_measured(sharded: Path) -> None:
    parts = [measure(open_checkpoint(sharded / name)) for name in shards(sharded)]

    assert sum(part.parameters for part in parts) == measure(open_checkpoint(sharded)).parameters


def test_without_an_index_all_shards_are_the_model(sharded: Path) -> None:
    indexed = open_checkpoint(sharded)
    (sharded / INDEX).unlink()

    assert set(open_checkpoint(sharded).tensors) == set(indexed.tensors)


def test_without_an_index_a_missing_shard_is_named(sharded: Path) -> None:
    (sharded / INDEX).unlink()
    for name in (shards(sharded)[0], shards(sharded)[-1]):
        broken = sharded.parent / f"without {name}"
        shutil.copytree(sharded, broken)
        (broken / name).unlink()

        with pytest.raises(CheckpointError, match=f"shard '{name}' is missing"):
            open_checkpoint(broken)


def test_shards_counted_from_zero_or_in_six_digits_are_whole(sharded: Path) -> None:
    (sharded / INDEX).unlink()
    names = shards(sharded)
    for number, name in enumerate(names):
        (sharded / name).rename(sharded / f"w-{number:05}-of-{len(names):06}.safetensors")

    assert len(open_checkpoint(sharded).files) == len(names)


def test_a_count_from_a_stranger_is_not_counted_up_to(sharded: Path) -> None:
    (sharded / INDEX).unlink()
    for name in shards(sharded)[1:]:
        (sharded / name).unlink()
    (sharded / shards(sharded)[0]).rename(sharded / "w-00001-of-999999.safetensors")

    with pytest.raises(CheckpointError, match="shard 'w-00002-of-999999"):
        open_checkpoint(sharded)


def test_the_only_shard_is_a_whole_model(sharded: Path, tmp_path: Path) -> None:
    lone = tmp_path / "model-00001-of-00001.safetensors"
    tiny_network().save_pretrained(tmp_path / "single")
    (tmp_path / "single" / "model.safetensors").rename(lone)
    before, after = open_checkpoint(sharded), open_checkpoint(lone)

    assert compare(before, after).parameters.removed == 0
