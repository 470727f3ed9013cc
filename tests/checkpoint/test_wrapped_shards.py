"""Wrappers are told by the names of all shards: an index has them as the shards do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from prunescope.checkpoint import open_checkpoint

SAVE = {"safetensors": save_file, "bin": torch.save}


@pytest.mark.parametrize("kind", SAVE)
def test_wrappers_are_those_of_all_shards(tmp_path: Path, kind: str) -> None:
    shards = {f"a.{kind}": ["module.v", "module.w"], f"b.{kind}": ["module.x"]}
    for expected in (["v", "w", "x"], ["module.v", "module.w", "x"]):
        for shard, names in shards.items():
            SAVE[kind]({name: torch.ones(2) for name in names}, tmp_path / shard)
        places = {name: shard for shard, names in shards.items() for name in names}
        stem = "model" if kind == "safetensors" else "pytorch_model"
        index = tmp_path / f"{stem}.{kind}.index.json"
        index.write_text(json.dumps({"weight_map": places}), "utf-8")
        assert list(open_checkpoint(tmp_path).tensors) == expected
        shards[f"b.{kind}"] = ["x"]


def test_what_shares_its_bytes_does_so_without_its_wrapper(tmp_path: Path) -> None:
    tied = torch.ones(2, 2)
    torch.save({"module.a.weight": tied, "module.b.weight": tied}, tmp_path / "pytorch_model.bin")
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.tensors["b.weight"].shared_with == "a.weight"
    assert checkpoint.parameters == 4
