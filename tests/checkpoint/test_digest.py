"""A model is known again by its headers and by a few of its values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.digest import model_digest

safetensors = pytest.importorskip("safetensors.numpy", reason="the extra prune")
SQUARE = np.arange(10_000, dtype=np.float32).reshape(100, 100)


def digest(path: Path, **tensors: np.ndarray) -> str:
    safetensors.save_file(tensors, path)
    return model_digest(open_checkpoint(path))


def test_equal_models_are_one_and_others_are_not(tmp_path: Path) -> None:
    one = digest(tmp_path / "a.safetensors", w=SQUARE, empty=SQUARE[:0])
    assert digest(tmp_path / "b.safetensors", w=SQUARE, empty=SQUARE[:0]) == one
    # As after some training, all values are others; then dtype, shape and name.
    others = [{"w": SQUARE * 1.001}, {"w": SQUARE.view(np.int32)}, {"w": SQUARE.reshape(50, 200)},
              {"v": SQUARE}, {"w": SQUARE, "v": SQUARE}]  # fmt: skip
    found = {
        digest(tmp_path / f"{number}.safetensors", empty=SQUARE[:0], **tensors)
        for number, tensors in enumerate(others)
    }
    assert len(found | {one}) == 6


def test_a_small_tensor_counts_whole(tmp_path: Path) -> None:
    small = np.zeros(3, dtype=np.float32)
    changed = [small + np.eye(3, dtype=np.float32)[n] for n in range(3)]
    found = [digest(tmp_path / "a.safetensors", w=each) for each in (small, *changed)]
    assert len(set(found)) == 4
