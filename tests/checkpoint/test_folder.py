"""The weights of a folder are found as transformers finds them."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.storage import LocalFolder
from prunescope.errors import CheckpointError, NoWeights


def put(path: Path, *names: str) -> Path:
    """A file of one-element tensors, in the format its suffix says."""
    tensors = {name: torch.ones(1) for name in names}
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


def put_index(path: Path, weight_map: object) -> Path:
    path.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return path


def test_files_are_preferred_in_the_order_of_transformers(tmp_path: Path) -> None:
    put(tmp_path / "other.pt", "other")
    put(tmp_path / "other.bin", "other bin")
    put(tmp_path / "extra.safetensors", "lone safetensors")
    # transformers' order: each of these hides all that came before.
    put(tmp_path / "shard.bin", "bin index")
    put_index(tmp_path / "pytorch_model.bin.index.json", {"bin index": "shard.bin"})
    assert list(open_checkpoint(tmp_path).tensors) == ["bin index"]
    put(tmp_path / "pytorch_model.bin", "bin")
    assert list(open_checkpoint(tmp_path).tensors) == ["bin"]
    put(tmp_path / "shard.safetensors", "index")
    put_index(tmp_path / "model.safetensors.index.json", {"index": "shard.safetensors"})
    assert list(open_checkpoint(tmp_path).tensors) == ["index"]
    put(tmp_path / "model.safetensors", "single")
    assert list(open_checkpoint(tmp_path).tensors) == ["single"]


def test_without_a_known_name_all_files_of_the_best_format_are_read(tmp_path: Path) -> None:
    put(tmp_path / "a.pt", "from pt")
    assert list(open_checkpoint(tmp_path).tensors) == ["from pt"]
    put(tmp_path / "a.bin", "from bin")
    assert list(open_checkpoint(tmp_path).tensors) == ["from bin"]
    put(tmp_path / "b.safetensors", "from b")
    put(tmp_path / "a.safetensors", "from a")
    assert list(open_checkpoint(tmp_path).tensors) == ["from a", "from b"]


def test_an_index_of_another_name_is_used(tmp_path: Path) -> None:
    put(tmp_path / "consolidated-1.safetensors", "x")
    put_index(tmp_path / "consolidated.safetensors.index.json", {"x": "consolidated-1.safetensors"})

    assert list(open_checkpoint(tmp_path).tensors) == ["x"]


@pytest.mark.parametrize(
    "name", ["training_args.bin", "optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt"]
)
def test_what_training_leaves_behind_is_no_model(tmp_path: Path, name: str) -> None:
    put(tmp_path / name, "w")
    with pytest.raises(NoWeights):
        open_checkpoint(tmp_path)

    put(tmp_path / "weights.bin", "v")
    assert list(open_checkpoint(tmp_path).tensors) == ["v"]


def test_a_folder_without_weights_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "sub").mkdir()
    put(tmp_path / "sub" / "model.safetensors", "w")

    with pytest.raises(NoWeights, match="no weights here") as caught:
        open_checkpoint(tmp_path)

    assert str(caught.value).startswith(f"{tmp_path}: ")
    assert str(caught.value).endswith("; name sub in it")


def test_the_folder_of_a_model_in_the_hubs_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    put(tmp_path / "blobs" / "0123", "w")
    snapshot = tmp_path / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to("../../blobs/0123")
    with pytest.raises(NoWeights, match=r"; name snapshots/abc in it$"):
        open_checkpoint(tmp_path)
    assert list(open_checkpoint(snapshot).tensors) == ["w"]


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "a.safetensors", "w")
    put(tmp_path / "b.safetensors", "w")

    with pytest.raises(CheckpointError, match=r"b\.safetensors: tensor 'w' is also in a\.safe"):
        open_checkpoint(tmp_path)


def test_files_of_two_formats_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "a.safetensors", "v")
    torch.save({"w": torch.ones(1)}, tmp_path / "b.safetensors")

    with pytest.raises(CheckpointError, match="different formats: safetensors, torch zip"):
        open_checkpoint(tmp_path)


def test_config_and_folder_belong_to_the_model(tmp_path: Path) -> None:
    path = put(tmp_path / "model.safetensors", "w")
    lone = open_checkpoint(path)
    assert (lone.home, lone.owns_home, lone.config) == (LocalFolder(tmp_path), False, {})
    assert open_checkpoint(tmp_path).owns_home

    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    for named in (path, tmp_path):
        checkpoint = open_checkpoint(named)
        assert checkpoint.config == {"model_type": "llama"}
        assert (checkpoint.home, checkpoint.owns_home) == (LocalFolder(tmp_path), True)
        assert checkpoint.path == str(named)


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b'{"a": 1, "a": 2}', b'{"a": NaN}'])
def test_a_broken_config_is_refused(tmp_path: Path, content: bytes) -> None:
    put(tmp_path / "model.safetensors", "w")
    (tmp_path / "config.json").write_bytes(content)

    with pytest.raises(CheckpointError, match=r"config\.json"):
        open_checkpoint(tmp_path)


def test_a_missing_path_says_so(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / "none" / "model.bin", "a\0b"):
        with pytest.raises(CheckpointError, match="no such file or directory"):
            open_checkpoint(path)
    with pytest.raises(CheckpointError, match="File name too long"):
        open_checkpoint(tmp_path / ("a" * 5000))
    # A variable that was never set; and what shells leave of `--original_model=~/model`.
    with pytest.raises(CheckpointError, match="no path is given: is a variable empty"):
        open_checkpoint("")
    with pytest.raises(CheckpointError, match=r"^~/none: no such file .*: ~ stands for itself"):
        open_checkpoint("~/none")


OTHERS = {
    "GGUF": (b"GGUF\x01\x00\x00\x00" + bytes(40), "GGUF version 1: only 2 and 3 are read"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "HTML": (b"\n<!DOCTYPE html><html>", "is a web page"),
    "HTML without a type": (b"<html><head><title>404", "is a web page"),
    "gzip": (gzip.compress(b"x" * 99), "is an archive: unpack it"),
    "xz": (lzma.compress(b"x" * 99), "is an archive: unpack it"),
    "bzip2": (bz2.compress(b"x" * 99), "is an archive: unpack it"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "is HDF5, as Keras writes"),
    # 0x67676a74, `ggjt`, as llama.cpp wrote it in 2023.
    "GGML": (0x67676A74.to_bytes(4, "little") + bytes(99), "is GGML, which came before GGUF"),
}
NOT_MODELS = OTHERS | {
    "pickle": (b"\x80\x02}q\x00.", "bare pickle"),
    "JSON": (b'{\n  "architectures": ["LlamaForCausalLM"]\n}\n', "is JSON, not weights: name its"),
    "empty": (b"", "empty"),
    "nothing known": (b"\x08\x08\x12\x07pytorch", "in no format that prunescope reads: "),
}


@pytest.mark.parametrize("case", NOT_MODELS)
def test_other_files_are_named_for_what_they_are(tmp_path: Path, case: str) -> None:
    content, cause = NOT_MODELS[case]
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(content)
    for named in (path, tmp_path):
        with pytest.raises(CheckpointError, match=cause):
            open_checkpoint(named)


@pytest.mark.parametrize("case", OTHERS)
def test_they_are_named_even_when_called_safetensors(tmp_path: Path, case: str) -> None:
    content, cause = OTHERS[case]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=cause):
        open_checkpoint(path)


def test_a_safetensors_file_of_any_header_length_is_one(tmp_path: Path) -> None:
    # 0x80 is the first byte of a header of 128 bytes, and of a pickle.
    raw = b'{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'.ljust(128)
    path = tmp_path / "weights"
    path.write_bytes((128).to_bytes(8, "little") + raw + b"x")
    assert open_checkpoint(path).format == "safetensors"

    path = path.rename(tmp_path / "model.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="truncated: header of 128 bytes, file of 100"):
        open_checkpoint(path)
