"""What a model weighs: lengths of files that the test itself wrote."""

from __future__ import annotations

import os
from errno import EACCES
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from safetensors.torch import save, save_file

from prunescope.analysis.size import SizeComparison, measure, pruned_models
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import CheckpointError
from tests.support.sparse import LLAMA_3_8B, llama_shapes, write_sharded, write_torch_zip


def model(folder: Path, parameters: int = 4) -> Path:
    """A folder with one weight file and a config of two bytes."""
    folder.mkdir(parents=True)
    save_file({"w": torch.ones(parameters)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


def weights_of(parameters: int = 4) -> int:
    return len(save({"w": torch.ones(parameters)}))


def test_a_folder_weighs_all_its_files_and_its_sub_folders(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    (folder / "tokenizer.json").write_bytes(bytes(1000))
    (folder / "onnx" / "deep").mkdir(parents=True)
    (folder / "onnx" / "deep" / "x").write_bytes(bytes(30))

    size = measure(open_checkpoint(folder))

    assert size.weight_bytes == weights_of()
    assert size.folder_bytes == weights_of() + 2 + 1000 + 30
    assert size.weight_files == (str(folder / "model.safetensors"),)
    assert (size.parameters, size.dtypes, size.format) == (4, {"F32": 4}, "safetensors")


def test_shards_are_weighed_together(tmp_path: Path) -> None:
    write_sharded(tmp_path, llama_shapes(LLAMA_3_8B), 3, write_torch_zip, "bin")

    size = measure(open_checkpoint(tmp_path / "pytorch_model.bin.index.json"))

    shards = sorted(tmp_path.glob("*.bin"))
    assert size.weight_files == tuple(map(str, shards))
    assert size.weight_bytes == sum(s.stat().st_size for s in shards)
    # Holes count: bf16 has two bytes a parameter.
    assert size.weight_bytes > 2 * 8_030_261_248
    assert (size.parameters, size.dtypes) == (8_030_261_248, {"BF16": 8_030_261_248})


def test_a_lone_file_has_no_folder_of_its_own(tmp_path: Path) -> None:
    save_file({"w": torch.ones(4)}, tmp_path / "x.safetensors")
    (tmp_path / "holiday.jpg").write_bytes(bytes(5000))

    size = measure(open_checkpoint(tmp_path / "x.safetensors"))

    assert size.folder_bytes is None
    assert size.weight_bytes == weights_of()


def test_a_file_in_a_models_folder_is_weighed_with_the_folder(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")

    size = measure(open_checkpoint(folder / "model.safetensors"))

    assert size.folder_bytes == weights_of() + 2


def test_links_of_the_hub_cache_weigh_what_they_lead_to(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--m" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    blob = tmp_path / "models--m" / "blobs" / "beef"
    blob.parent.mkdir()
    blob.write_bytes(save({"w": torch.ones(4)}))
    (snapshot / "model.safetensors").symlink_to("../../blobs/beef")

    size = measure(open_checkpoint(snapshot))

    assert (size.weight_bytes, size.folder_bytes) == (weights_of(), weights_of())


def test_tied_weights_count_once_in_parameters_and_are_named(tmp_path: Path) -> None:
    w = torch.ones(4)
    torch.save({"embed": w, "head": w}, tmp_path / "m.bin")

    size = measure(open_checkpoint(tmp_path / "m.bin"))

    assert (size.parameters, size.shared) == (4, {"head": "embed"})


def test_two_sizes_compare_in_bytes_and_in_parameters(tmp_path: Path) -> None:
    a = measure(open_checkpoint(model(tmp_path / "a", parameters=1000)))
    b = measure(open_checkpoint(model(tmp_path / "b", parameters=250)))

    found = SizeComparison(a, b)

    assert found.parameters.removed == 750
    # 750 float32; both headers have one length, their digits aside padded to eight bytes.
    assert found.weight_bytes.removed == weights_of(1000) - weights_of(250)


def test_every_model_of_the_log_folder_is_listed_by_name(tmp_path: Path) -> None:
    for name in ("b", "a", "C"):
        model(tmp_path / name)
    # Logs, a run in progress and a stray file are no models.
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "train.log").write_text("x")
    model(tmp_path / ".b.old")
    (tmp_path / "notes.bin").write_bytes(b"x")

    sizes, damaged = pruned_models(tmp_path)
    assert [Path(size.path).name for size in sizes] == ["C", "a", "b"]
    assert damaged == []


def test_a_damaged_model_in_the_log_folder_is_not_passed_over(tmp_path: Path) -> None:
    model(tmp_path / "good")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "pytorch_model.bin").write_bytes(b"PK\x03\x04")

    sizes, (fault,) = pruned_models(tmp_path)

    assert [Path(size.path).name for size in sizes] == ["good"]
    assert "damaged/pytorch_model.bin: truncated" in str(fault)


def test_a_log_folder_without_models_says_so(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with pytest.raises(CheckpointError, match="holds no pruned model"):
        pruned_models(tmp_path)
    with pytest.raises(CheckpointError, match="no such folder: prune a model first"):
        pruned_models(tmp_path / "prune_log")


def refused(*_: object) -> NoReturn:
    raise PermissionError(EACCES, "Permission denied")


def test_a_folder_that_may_not_be_looked_into_has_no_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = open_checkpoint(model(tmp_path / "m"))
    (tmp_path / "m" / "locked").mkdir()
    walk = os.walk
    # Root may read whatever the mode of a folder is.
    with monkeypatch.context() as only:
        only.setattr(Path, "is_file", refused)
        assert measure(checkpoint).folder_bytes is None
    with monkeypatch.context() as only:
        only.setattr(os, "walk", lambda top, onerror: (onerror(PermissionError()), walk(top))[1])
        assert measure(checkpoint).folder_bytes is None
    assert measure(checkpoint).weight_bytes == weights_of()
    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(CheckpointError, match=r"cannot be read \(Permission denied\)$"):
        pruned_models(tmp_path)
