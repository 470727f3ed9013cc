"""Whatever fsspec reaches is read the same way; its `memory://` stands for all of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from prunescope.analysis.size import measure
from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.remote.files import RemoteFolder
from prunescope.errors import CheckpointError
from tests.support.sparse import LlamaShape, llama_shapes, write_safetensors, write_sharded

SMALL = LlamaShape(2, 8, 12, 4, 2, 2, 10, tied=False)


@pytest.fixture
def memory() -> Iterator[Any]:
    """fsspec's file system in memory, empty again afterwards."""
    store = fsspec.filesystem("memory")
    yield store
    store.rm("/", recursive=True)


@pytest.fixture
def bucket(root: Path, memory: Any) -> str:
    """A sharded model at `memory://bucket/llama`, with a folder in it."""
    folder = root / "llama"
    (folder / "logs").mkdir(parents=True)
    write_sharded(folder, llama_shapes(SMALL), 3, write_safetensors, "safetensors")
    (folder / "logs" / "train.txt").write_text("x" * 1000)
    memory.put(str(folder), "/bucket/llama", recursive=True)
    return "memory://bucket/llama"


@pytest.mark.parametrize("end", ["", "/", "/model.safetensors.index.json"])
def test_a_model_opens_as_on_disk(root: Path, bucket: str, end: str) -> None:
    remote, local = open_checkpoint(bucket + end), open_checkpoint(root / "llama")

    assert remote.parameters == local.parameters
    assert [(t.name, t.offset) for t in remote.tensors.values()] == [
        (t.name, t.offset) for t in local.tensors.values()
    ]
    assert [str(file) for file in remote.files] == [f"{bucket}/{f.name}" for f in local.files]


def test_one_shard_may_be_named(root: Path, bucket: str) -> None:
    name = "model-00002-of-00003.safetensors"

    remote = open_checkpoint(f"{bucket}/{name}")

    assert list(remote.tensors) == list(open_checkpoint(root / "llama" / name).tensors)


def test_bytes_are_counted_and_few(root: Path, memory: Any) -> None:
    write_safetensors(root / "large.safetensors", {"w": (1 << 20,)})
    memory.put(str(root / "large.safetensors"), "/bucket/large.safetensors")

    opened = open_checkpoint("memory://bucket/large.safetensors")

    assert isinstance(opened.home, RemoteFolder)
    requests, received = opened.home.traffic
    # What it is, its head, and whether there is a config.
    assert requests == 3
    assert received == 64 << 10


def test_sizes_count_the_folders_in_it(root: Path, bucket: str) -> None:
    size = measure(open_checkpoint(bucket))

    files = [f for f in (root / "llama").rglob("*") if f.is_file()]
    assert size.folder_bytes == sum(f.stat().st_size for f in files)
    assert size.weight_bytes == sum(f.stat().st_size for f in files if f.suffix == ".safetensors")


@pytest.mark.parametrize(
    ("address", "cause"),
    [
        ("memory://bucket/none", "no such file or folder"),
        ("memory://bucket/llama/logs", "no weights here"),
        ("s3://bucket/llama", "s3:// needs s3fs: run  pip install s3fs"),
        ("gs://bucket/llama", "gs:// needs gcsfs: run  pip install gcsfs"),
        ("nosuch://bucket/llama", "nosuch:// is no protocol that fsspec knows"),
        ("://bucket", "is no protocol that fsspec knows"),
        ("simplecache::memory://bucket/llama", "chained addresses"),
    ],
)
def test_what_cannot_be_read_is_named(
    bucket: str, monkeypatch: pytest.MonkeyPatch, address: str, cause: str
) -> None:
    for module in ("s3fs", "gcsfs"):
        monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(address)

    assert str(caught.value).startswith(f"{address}: ")
    assert cause in str(caught.value)


def test_a_store_that_fails_is_named_without_secrets(
    bucket: str, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> bytes:
        raise RuntimeError("request with us3r:p4ss@bucket failed\nTraceback: …")

    # This file system keeps user and query in the path.
    memory.cp("/bucket", "/us3r:p4ss@bucket", recursive=True)
    memory.mv("/us3r:p4ss@bucket/llama", "/us3r:p4ss@bucket/llama?token=t0ken", recursive=True)
    monkeypatch.setattr(type(memory), "cat_file", fail)

    with pytest.raises(CheckpointError) as caught:
        open_checkpoint("memory://us3r:p4ss@bucket/llama?token=t0ken")

    message = str(caught.value)
    assert message.startswith("memory://bucket/llama/model.safetensors.index.json: cannot be ")
    assert "RuntimeError: request with …@bucket failed" in message
    assert not any(secret in message for secret in ("us3r", "p4ss", "t0ken"))


def test_a_store_that_sends_less_than_it_listed_is_named(
    bucket: str, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(memory), "cat_file", lambda *_, **__: b"abc")

    with pytest.raises(CheckpointError, match=r"index\.json: 3 bytes came, \d+ were asked for"):
        open_checkpoint(bucket)


def test_a_store_that_does_not_answer_is_left(
    bucket: str, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRUNESCOPE_TIMEOUT", "0.2")
    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "ls", lambda *_, **__: time.sleep(30))
        with pytest.raises(CheckpointError, match="no answer within 0 s: try again"):
            open_checkpoint(bucket)


def test_access_denied_is_named(memory: Any, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: Any, **__: Any) -> None:
        raise PermissionError("Forbidden")

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "info", deny)
        with pytest.raises(CheckpointError, match=r"access denied \(Forbidden\): check the cred"):
            open_checkpoint(bucket)
