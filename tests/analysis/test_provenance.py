"""Files are named with length and digest, as `sha256sum` would."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from prunescope.analysis import provenance as module
from prunescope.analysis.provenance import FileFact, provenance
from prunescope.checkpoint import open_checkpoint
from tests.support.sparse import LlamaShape, llama_shapes, write_model

SMALL = LlamaShape(1, 8, 12, 4, 2, 2, 10, tied=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model", SMALL, llama_shapes(SMALL))


def fact(path: Path, digest: bool = True) -> FileFact:
    data = path.read_bytes()
    return FileFact(str(path), len(data), hashlib.sha256(data).hexdigest() if digest else None)


def test_weights_are_not_read_unless_asked_for(folder: Path) -> None:
    weights, config = folder / "model.safetensors", folder / "config.json"

    assert provenance(open_checkpoint(folder)) == (fact(weights, digest=False), fact(config))
    assert provenance(open_checkpoint(folder), whole=True) == (fact(weights), fact(config))


def test_long_files_are_read_in_pieces(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", 7)
    ticks: list[None] = []

    found = provenance(open_checkpoint(folder), True, lambda: ticks.append(None))

    assert found[0] == fact(folder / "model.safetensors")
    assert len(ticks) == 1


def test_the_record_of_pruning_is_named_too(folder: Path) -> None:
    (folder / "pruning.json").write_text("{}")

    names = [Path(each.path).name for each in provenance(open_checkpoint(folder))]
    assert names == ["model.safetensors", "config.json", "pruning.json"]
