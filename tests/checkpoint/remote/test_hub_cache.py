"""What huggingface_hub has downloaded is read from its cache, and offline from nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub.constants
import pytest
from huggingface_hub import hf_hub_download, snapshot_download

from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from tests.support.hub import Hub, Model
from tests.support.sparse import LlamaShape, llama_shapes, write_safetensors, write_sharded

SMALL = LlamaShape(2, 8, 12, 4, 2, 2, 10, tied=False)
SHARDS = [f"model-{n:05}-of-00003.safetensors" for n in (1, 2, 3)]
INDEX = "model.safetensors.index.json"


@pytest.fixture
def sharded(root: Path, hub: Hub) -> Path:
    """`org/sharded`: three shards, an index and a config."""
    folder = root / "sharded"
    folder.mkdir()
    write_sharded(folder, llama_shapes(SMALL), 3, write_safetensors, "safetensors")
    (folder / "config.json").write_text(json.dumps(SMALL.config()))
    hub.models["org/sharded"] = Model(folder, revisions=("main", "v1.0"))
    hub.part_hosts()
    return folder


def forget(hub: Hub) -> None:
    hub.site.asked.clear()
    hub.cdn.asked.clear()


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def test_a_downloaded_model_costs_the_listing_alone(sharded: Path, hub: Hub) -> None:
    snapshot = Path(snapshot_download("org/sharded"))
    forget(hub)

    opened = open_checkpoint("org/sharded")

    assert [one.path for one in hub.site.asked] == [
        "/api/models/org/sharded/revision/main?blobs=true"
    ]
    assert [file.local for file in opened.files] == [snapshot / name for name in SHARDS]
    assert opened.home.local == snapshot
    assert opened.config == SMALL.config()
    with WeightMap() as weights:
        assert len(weights.view(opened.tensors["model.norm.weight"])) == 16


def test_what_is_missing_in_the_cache_is_fetched(sharded: Path, hub: Hub) -> None:
    hf_hub_download("org/sharded", SHARDS[1])
    forget(hub)

    opened = open_checkpoint("org/sharded")

    assert [file.local is None for file in opened.files] == [True, False, True]
    assert opened.home.local is None
    assert opened.parameters == open_checkpoint(sharded).parameters
    assert len(hub.cdn.asked) == 2


def test_another_commit_in_the_cache_is_not_taken(sharded: Path, hub: Hub) -> None:
    snapshot_download("org/sharded")
    hub.models["org/sharded"].commit = "d" * 40
    forget(hub)

    opened = open_checkpoint("org/sharded")

    assert all(file.local is None for file in opened.files)


def test_a_file_of_another_length_in_the_cache_is_not_taken(sharded: Path, hub: Hub) -> None:
    cached = Path(hf_hub_download("org/sharded", SHARDS[0]))
    cached.resolve().write_bytes(b"half")

    opened = open_checkpoint("org/sharded")

    assert opened.files[0].local is None


@pytest.mark.parametrize("name", ["org/sharded", "hf://org/sharded", f"hf://org/sharded/{INDEX}"])
def test_offline_the_cache_is_enough(
    sharded: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    snapshot = Path(snapshot_download("org/sharded"))
    forget(hub)
    go_offline(monkeypatch)

    opened = open_checkpoint(name)

    assert opened.parameters == open_checkpoint(sharded).parameters
    assert opened.home.local == snapshot
    assert hub.site.asked == []


@pytest.mark.parametrize("revision", ["v1.0", "c" * 40])
def test_offline_a_cached_revision_is_found(
    sharded: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, revision: str
) -> None:
    snapshot_download("org/sharded", revision=revision)
    go_offline(monkeypatch)

    assert open_checkpoint(f"org/sharded@{revision}").config == SMALL.config()


def test_offline_one_cached_file_is_found(
    sharded: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = Path(hf_hub_download("org/sharded", SHARDS[0]))
    go_offline(monkeypatch)

    opened = open_checkpoint(f"hf://org/sharded/{SHARDS[0]}")

    assert [file.local for file in opened.files] == [cached]


@pytest.mark.parametrize(
    "name", ["org/none", "org/sharded@v9", f"hf://org/sharded/{SHARDS[1]}", "org/sharded@../main"]
)
def test_offline_what_is_not_cached_is_named(
    sharded: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    hf_hub_download("org/sharded", INDEX)
    go_offline(monkeypatch)
    forget(hub)

    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(name)

    message = str(caught.value)
    assert "HF_HUB_OFFLINE is set: download it" in message or "leads out" in message
    assert hub.site.asked == []


def test_offline_a_shard_that_is_not_cached_is_named(
    sharded: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (INDEX, SHARDS[0], SHARDS[2]):
        hf_hub_download("org/sharded", name)
    go_offline(monkeypatch)

    with pytest.raises(CheckpointError, match=f"shard '{SHARDS[1]}' is missing"):
        open_checkpoint("org/sharded")
