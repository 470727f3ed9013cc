"""A model of a hub is opened as huggingface_hub's own client would find it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from prunescope.analysis.size import measure
from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.remote.files import RemoteFolder
from tests.support.hub import TOKEN, Hub, Model
from tests.support.sparse import LLAMA_3_8B, llama_shapes, write_safetensors, write_sharded


@pytest.fixture
def llama(root: Path, hub: Hub) -> Path:
    """Llama-3-8B's four shards as `meta/llama`."""
    folder = root / "llama"
    (folder / "original").mkdir(parents=True)
    write_sharded(folder, llama_shapes(LLAMA_3_8B), 4, write_safetensors, "safetensors")
    (folder / "config.json").write_text(json.dumps(LLAMA_3_8B.config()))
    (folder / "original" / "params.json").write_text("{}")
    hub.models["meta/llama"] = Model(folder, revisions=("main", "v1.0", "refs/pr/7", "a/b"))
    return folder


@pytest.mark.parametrize("name", ["meta/llama", "hf://meta/llama", "hf://meta/llama/"])
def test_a_model_opens_with_one_listing_and_one_request_a_file(
    llama: Path, hub: Hub, name: str
) -> None:
    opened = open_checkpoint(name)

    assert opened.parameters == 8_030_261_248
    assert opened.config == LLAMA_3_8B.config()
    paths = [one.path for one in hub.site.asked]
    assert paths[0] == "/api/models/meta/llama/revision/main?blobs=true"
    # The index, the config and four shards, whose bytes come from the content network.
    assert len(paths) == 7
    assert len(hub.cdn.asked) == 4
    assert isinstance(opened.home, RemoteFolder)
    assert opened.home.traffic == (11, hub.site.sent + hub.cdn.sent)
    assert hub.site.sent + hub.cdn.sent < 400_000


def test_it_finds_what_the_hubs_own_client_finds(llama: Path, hub: Hub) -> None:
    theirs = HfApi(endpoint=hub.site.url).get_safetensors_metadata("meta/llama")

    ours = open_checkpoint("meta/llama")

    assert {name: tensor.file.name for name, tensor in ours.tensors.items()} == theirs.weight_map
    assert ours.dtypes == theirs.parameter_count
    for file in theirs.files_metadata.values():
        for name, tensor in file.tensors.items():
            assert list(ours.tensors[name].shape) == tensor.shape
            assert ours.tensors[name].nbytes == tensor.data_offsets[1] - tensor.data_offsets[0]


def test_files_are_read_at_the_commit_of_the_listing(llama: Path, hub: Hub) -> None:
    open_checkpoint("meta/llama")

    resolved = [one.path for one in hub.site.asked[1:]]
    assert all(path.startswith(f"/meta/llama/resolve/{'c' * 40}/") for path in resolved)


@pytest.mark.parametrize("revision", ["v1.0", "c" * 40, "refs/pr/7", "refs%2Fpr%2F7", "a%2Fb"])
@pytest.mark.parametrize("scheme", ["", "hf://"])
def test_a_revision_may_be_named(llama: Path, scheme: str, revision: str) -> None:
    assert open_checkpoint(f"{scheme}meta/llama@{revision}").parameters == 8_030_261_248


@pytest.mark.parametrize("place", ["meta/llama", "meta/llama@v1.0"])
def test_one_file_may_be_named(llama: Path, place: str) -> None:
    name = "model-00002-of-00004.safetensors"

    opened = open_checkpoint(f"hf://{place}/{name}")

    assert opened.parameters == open_checkpoint(llama / name).parameters
    assert [str(file) for file in opened.files] == [f"hf://{place}/{name}"]
    assert opened.config == LLAMA_3_8B.config()


def test_the_index_may_be_named(llama: Path) -> None:
    opened = open_checkpoint("hf://meta/llama/model.safetensors.index.json")

    assert opened.parameters == 8_030_261_248


def test_a_file_or_folder_in_a_folder_may_be_named(root: Path, llama: Path) -> None:
    (root / "small" / "model.safetensors").rename(llama / "original" / "model.safetensors")
    (root / "small" / "config.json").rename(llama / "original" / "config.json")
    expected = open_checkpoint(llama / "original")

    for name in ("original", "original/model.safetensors"):
        opened = open_checkpoint(f"hf://meta/llama/{name}")
        assert list(opened.tensors) == list(expected.tensors)
        assert opened.config == expected.config


def test_sizes_are_those_of_the_listing(llama: Path, hub: Hub) -> None:
    size = measure(open_checkpoint("meta/llama"))

    assert size.weight_bytes == sum(f.stat().st_size for f in llama.glob("*.safetensors"))
    everything = sum(f.stat().st_size for f in llama.rglob("*") if f.is_file())
    assert size.folder_bytes == everything
    assert len(hub.site.asked) == 7


@pytest.mark.parametrize("place", ["environment", "file"])
def test_the_users_token_goes_to_the_hub_and_not_to_the_content_network(
    llama: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    if place == "environment":
        monkeypatch.setenv("HF_TOKEN", TOKEN)
    else:
        (tmp_path / "home").mkdir(exist_ok=True)
        (tmp_path / "home" / "token").write_text(TOKEN + "\n")
    hub.models["meta/llama"].private = True

    opened = open_checkpoint("meta/llama")

    assert opened.parameters == 8_030_261_248
    assert {one.headers.get("Authorization") for one in hub.site.asked} == {f"Bearer {TOKEN}"}
    assert all("Authorization" not in one.headers for one in hub.cdn.asked)
    assert TOKEN not in repr(opened)


def test_a_local_path_of_the_same_name_comes_first(
    root: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "org").mkdir()
    (root / "small").rename(root / "org" / "small")
    monkeypatch.chdir(root)

    assert open_checkpoint("org/small").home.local == Path("org/small")
    assert hub.site.asked == []


@pytest.mark.parametrize("name", ["org/none", "org/model.bin", "other/a.safetensors", "a/b/c", "a"])
def test_what_can_only_be_a_path_is_not_looked_up(
    root: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (root / "org").mkdir()
    monkeypatch.chdir(root)

    with pytest.raises(Exception, match=f"^{name}: no such file or directory$"):
        open_checkpoint(name)

    assert hub.site.asked == []


def test_a_path_object_is_never_an_id(hub: Hub) -> None:
    with pytest.raises(Exception, match=r"^org/small: no such file or directory$"):
        open_checkpoint(Path("org/small"))

    assert hub.site.asked == []


def test_a_signature_that_has_expired_is_fetched_anew(root: Path, hub: Hub) -> None:
    write_safetensors(root / "small" / "model.safetensors", {"w": (1 << 20,)})
    file = open_checkpoint("org/small").files[0]
    hub.signature = "X-Signature=anew"

    assert file.read(file.size - 3, 3) == bytes(3)

    # With the old signature, from the hub, with the new one.
    assert [one.path.partition("?")[2] for one in hub.cdn.asked[1:]] == [
        "X-Signature=s1gned",
        "X-Signature=anew",
    ]
