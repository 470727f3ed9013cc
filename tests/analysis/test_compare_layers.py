"""A comparison of models whose layers have other numbers, once it is known which is which."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunescope.analysis.compare import compare
from prunescope.analysis.compare_result import Comparison
from prunescope.checkpoint import open_checkpoint
from tests.support.sparse import LlamaShape, llama_shapes, write_safetensors

SMALL = LlamaShape(4, 8, 12, 4, 2, 2, 10, tied=False)
# q, o 8 × 8; k, v 4 × 8; gate, up 12 × 8; down 8 × 12; two norms of 8.
LAYER = 2 * 64 + 2 * 32 + 3 * 96 + 2 * 8


def compared(folder: Path, layers: dict[int, int] | None) -> Comparison:
    """Layers 0, 2 (three channels fewer) and 3 of four, numbered from 0."""
    write_safetensors(folder / "before.safetensors", llama_shapes(SMALL))
    left = {}
    for name, shape in llama_shapes(SMALL, range(2, 3), channels=3).items():
        for old, new in ((2, 1), (3, 2)):
            if f"layers.{old}." in name:
                left[name.replace(f"layers.{old}.", f"layers.{new}.")] = shape
        if "layers.0." in name or "layers." not in name:
            left[name] = shape
    write_safetensors(folder / "after.safetensors", left)
    files = (folder / "before.safetensors", folder / "after.safetensors")
    return compare(*map(open_checkpoint, files), layers)


def test_layers_have_the_originals_numbers(tmp_path: Path) -> None:
    found = compared(tmp_path, {0: 0, 1: 2, 2: 3})
    removed = {layer.layer: layer.parameters.removed for layer in found.layers}
    assert removed == {0: 0, 1: LAYER, 2: 3 * 3 * 8, 3: 0}
    assert found.parameters.removed == LAYER + 72
    assert {verdict.unpruned for verdict in found.verdicts()} == {(0, 2, 3), (0, 3)}


def test_without_it_they_are_matched_by_number(tmp_path: Path) -> None:
    found = compared(tmp_path, None)
    removed = {layer.layer: layer.parameters.removed for layer in found.layers}
    assert removed == {0: 0, 1: 72, 2: 0, 3: LAYER}


def test_two_layers_cannot_be_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the same one"):
        compared(tmp_path, {0: 0, 1: 2, 2: 2})
