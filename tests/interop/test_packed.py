"""Experts are stacked one at a time: a model of experts is never held twice."""

from __future__ import annotations

import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from prunescope.interop import hf
from prunescope.interop.lazy_state import LazyState
from tests.support.families import family_folder


@pytest.mark.parametrize("family", ["mixtral", "qwen2_moe"])
def test_loading_holds_one_expert_beside_the_stacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    folder = family_folder(family, tmp_path)
    stored = load_file(folder / "model.safetensors")
    made: list[weakref.ref[Tensor]] = []
    most = [0]

    class Watched(LazyState):
        def __getitem__(self, name: str) -> Tensor:
            tensor = super().__getitem__(name)
            if ".experts." in name:
                made.append(weakref.ref(tensor))
                most[0] = max(most[0], sum(each() is not None for each in made))
            return tensor

    monkeypatch.setattr(hf, "LazyState", Watched)
    network = hf.load(folder)

    names = [name for name in stored if ".experts." in name]
    # Each once, and the first of each stack for its type too.
    assert len(made) > len(names) > 10
    assert most == [1]
    theirs = ".1.w2.weight" if family == "mixtral" else ".1.down_proj.weight"
    downs = [p for name, p in network.named_parameters() if name.endswith("experts.down_proj")]
    wanted = [stored[name] for name in sorted(names) if name.endswith(theirs)]
    assert len(downs) == len(wanted) > 0
    assert all(torch.equal(p[1], w) for p, w in zip(downs, wanted, strict=True))
