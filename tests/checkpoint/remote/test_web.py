"""A checkpoint on a web server reads as the same checkpoint on disk, for kilobytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from prunescope.analysis.size import measure
from prunescope.checkpoint import Checkpoint, open_checkpoint
from prunescope.checkpoint.remote.files import RemoteFolder
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from tests.support.sparse import (
    LLAMA_3_8B,
    LlamaShape,
    llama_shapes,
    write_safetensors,
    write_sharded,
    write_torch_zip,
)
from tests.support.web import FolderHandler, Site, WithoutRanges, serve

SMALL = LlamaShape(2, 8, 12, 4, 2, 2, 10, tied=False)
INDEX = "model.safetensors.index.json"


def same(remote: Checkpoint, local: Checkpoint) -> None:
    """Everything but the place is equal."""
    assert list(remote.tensors) == list(local.tensors)
    for name, tensor in local.tensors.items():
        assert replace(remote.tensors[name], file=tensor.file) == tensor
        assert remote.tensors[name].file.name == tensor.file.name
    assert remote.config == local.config
    assert remote.metadata == local.metadata
    assert [file.size for file in remote.files] == [file.size for file in local.files]


def traffic(checkpoint: Checkpoint) -> tuple[int, int]:
    assert isinstance(checkpoint.home, RemoteFolder)
    return checkpoint.home.traffic


def test_a_sharded_8b_model_costs_one_request_a_file(root: Path, site: Site) -> None:
    folder = root / "8b"
    folder.mkdir()
    write_sharded(folder, llama_shapes(LLAMA_3_8B), 4, write_safetensors, "safetensors")
    (folder / "config.json").write_text(json.dumps(LLAMA_3_8B.config()))

    remote = open_checkpoint(f"{site.url}/8b/{INDEX}")

    assert remote.parameters == 8_030_261_248
    same(remote, open_checkpoint(folder / INDEX))
    # The index, the config and four shards.
    assert len(site.asked) == 6
    assert traffic(remote) == (6, site.sent)
    assert site.sent < 400_000 < 16_060_522_496 / 40_000


def test_a_torch_archive_costs_its_head_and_its_end(root: Path, site: Site) -> None:
    write_torch_zip(root / "8b.bin", llama_shapes(LLAMA_3_8B))

    remote = open_checkpoint(f"{site.url}/8b.bin")

    same(remote, open_checkpoint(root / "8b.bin"))
    ranges = [one.headers["Range"] for one in site.asked if one.path == "/8b.bin"]
    assert len(ranges) == 2
    assert site.sent < 140_000


def test_a_header_longer_than_the_first_request_costs_one_more(root: Path, site: Site) -> None:
    shapes = {f"tensor.{n}": (2,) for n in range(5000)}
    write_safetensors(root / "long.safetensors", shapes)

    remote = open_checkpoint(f"{site.url}/long.safetensors")

    same(remote, open_checkpoint(root / "long.safetensors"))
    assert [one.path for one in site.asked].count("/long.safetensors") == 2


def test_the_config_beside_the_weights_is_read(site: Site) -> None:
    remote = open_checkpoint(f"{site.url}/small/model.safetensors")

    assert remote.config == SMALL.config()
    assert remote.owns_home


def test_weights_without_a_config_are_read(root: Path, site: Site) -> None:
    (root / "small" / "config.json").unlink()

    remote = open_checkpoint(f"{site.url}/small/model.safetensors")

    assert remote.config == {}
    assert not remote.owns_home


def test_the_query_belongs_to_the_named_file_alone(root: Path, site: Site) -> None:
    remote = open_checkpoint(f"{site.url}/small/model.safetensors?signature=s1gned")

    asked = sorted(one.path for one in site.asked)
    assert asked == ["/small/config.json", "/small/model.safetensors?signature=s1gned"]
    assert remote.path == str(remote.files[0]) == f"{site.url}/small/model.safetensors"


def test_credentials_go_to_their_host_alone_and_are_not_shown(root: Path, site: Site) -> None:
    class Elsewhere(FolderHandler):
        def answer(self, name: str) -> None:
            self.send_text(307, "", Location=f"{site.url}/{name}")

    with serve(Elsewhere, root) as first:
        address = first.url.replace("//", "//us%20er:p4ss@")
        remote = open_checkpoint(f"{address}/small/model.safetensors")

        # base64 of "us er:p4ss"
        assert first.asked[0].headers["Authorization"] == "Basic dXMgZXI6cDRzcw=="
        assert all("Authorization" not in one.headers for one in site.asked)
        assert remote.path == f"{first.url}/small/model.safetensors"
        assert "p4ss" not in repr(remote)


def test_names_with_blanks_and_other_scripts_are_found(root: Path, site: Site) -> None:
    write_safetensors(root / "模型 1.safetensors", llama_shapes(SMALL))

    remote = open_checkpoint(f"{site.url}/模型 1.safetensors")

    assert remote.files[0].name == "模型 1.safetensors"
    assert remote.parameters == open_checkpoint(root / "small").parameters


def test_size_is_known_and_the_folder_is_not(root: Path, site: Site) -> None:
    size = measure(open_checkpoint(f"{site.url}/small/model.safetensors"))

    assert size.weight_bytes == (root / "small" / "model.safetensors").stat().st_size
    assert size.folder_bytes is None


def test_weights_are_not_mapped_from_afar(site: Site) -> None:
    remote = open_checkpoint(f"{site.url}/small/model.safetensors")

    with WeightMap() as weights, pytest.raises(CheckpointError, match="download the model"):
        weights.view(remote.tensors["model.norm.weight"])


def test_a_server_without_ranges_sends_the_head_alone(root: Path) -> None:
    shapes = {f"tensor.{n}": (2,) for n in range(5000)} | {"large": (1 << 31,)}
    write_safetensors(root / "large.safetensors", shapes)

    with serve(WithoutRanges, root) as site:
        remote = open_checkpoint(f"{site.url}/large.safetensors")

    same(remote, open_checkpoint(root / "large.safetensors"))
    # Of 4 GiB: what of the body was read, and what lay in the sockets' buffers.
    assert traffic(remote)[1] < 700_000
    assert site.sent < 20 << 20


def test_a_torch_archive_needs_ranges_unless_it_is_small(root: Path) -> None:
    write_torch_zip(root / "large.bin", llama_shapes(LLAMA_3_8B))
    write_torch_zip(root / "small.bin", {"w": (2, 3)})

    with serve(WithoutRanges, root) as site:
        assert open_checkpoint(f"{site.url}/small.bin").parameters == 6
        with pytest.raises(CheckpointError, match=r"large\.bin: .*range requests.*download it"):
            open_checkpoint(f"{site.url}/large.bin")
    assert site.sent < 20 << 20


def test_connections_are_kept(root: Path) -> None:
    places = set()

    class Noting(FolderHandler):
        def answer(self, name: str) -> None:
            places.add(self.client_address)
            super().answer(name)

    with serve(Noting, root) as site:
        for n in range(40):
            write_safetensors(root / f"{n}.safetensors", {f"w{n}": (2,)})
        weight_map = {f"w{n}": f"{n}.safetensors" for n in range(40)}
        (root / INDEX).write_text(json.dumps({"weight_map": weight_map}))
        assert open_checkpoint(f"{site.url}/{INDEX}").parameters == 80
        assert len(site.asked) == 42
    assert len(places) <= 17


def test_a_file_url_is_a_local_path(root: Path) -> None:
    opened = open_checkpoint(f"file://{root}/small")

    assert opened.home.local == root / "small"
