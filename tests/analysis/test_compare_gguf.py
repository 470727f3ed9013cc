"""A GGUF on either side compares with the Hugging Face model that it came from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from prunescope.analysis.compare import compare
from prunescope.analysis.counts import Counts
from prunescope.analysis.size import SizeComparison, measure
from prunescope.architecture import PROJECTIONS, Role
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError
from prunescope.interop.demo_source import GGUF_BYTES, find_gguf
from tests.support.ggufs import (
    CHANNELS,
    HEAD_DIM,
    HEADS,
    HIDDEN,
    KV_HEADS,
    LAYERS,
    VOCAB,
    Weights,
    finish,
    tiny_weights,
    write_gguf,
)
from tests.support.sparse import SMOLLM2, LlamaShape, llama_shapes, write_model
from tests.support.tiny import edit_json

TINY = LlamaShape(LAYERS, HIDDEN, CHANNELS, HEADS, KV_HEADS, HEAD_DIM, VOCAB, tied=False)


def hf(folder: Path, **changes: object) -> Path:
    write_model(folder, TINY, llama_shapes(TINY))
    edit_json(folder / "config.json", changes)
    return folder


def test_a_quantised_twin_is_not_pruned_but_smaller(tmp_path: Path) -> None:
    original = write_model(tmp_path / "hf", SMOLLM2, llama_shapes(SMOLLM2))
    a, b = open_checkpoint(original), open_checkpoint(find_gguf(tmp_path))

    found = compare(a, b)
    sizes = SizeComparison(measure(a), measure(b))

    assert found.parameters == Counts(134_515_008, 134_515_008)
    assert all(m.parameters.retention == 1 for layer in found.layers for m in layer.modules)
    assert [v.common for v in found.verdicts()] == [None] * len(PROJECTIONS)
    assert sizes.parameters.removed == 0
    assert sizes.weight_bytes.pruned == GGUF_BYTES
    # Q4_1 has 20 bytes for 32 weights, Q8_0 34, and the norms are float32.
    stored = 106_168_320 * 20 // 32 + 28_311_552 * 34 // 32 + 35_136 * 4
    assert sizes.pruned.tensor_bytes == stored
    assert sizes.pruned.bits_per_weight == 8 * stored / 134_515_008
    assert sizes.pruned.is_quantised
    assert not sizes.original.is_quantised


def with_rope(path: Path) -> Path:
    return write_gguf(path, tiny_weights()[0] | {"rope_freqs.weight": np.ones(8, np.float32)})


def test_a_buffer_on_one_side_is_neither_growth_nor_pruning(tmp_path: Path) -> None:
    a, b = open_checkpoint(hf(tmp_path / "hf")), open_checkpoint(with_rope(tmp_path / "t.gguf"))

    for found in (compare(a, b), compare(b, a)):
        assert found.parameters.original == found.parameters.pruned == a.parameters
        assert not found.parameters.is_pruned
        assert Role.BUFFER not in {m.role for m in found.outside}


def test_a_mistral_is_a_llama_to_llama_cpp(tmp_path: Path) -> None:
    a = open_checkpoint(hf(tmp_path / "hf", model_type="mistral"))
    b = open_checkpoint(write_gguf(tmp_path / "t.gguf", tiny_weights()[0]))

    assert compare(a, b).parameters.sparsity == 0
    assert compare(b, a).parameters.sparsity == 0


def cut(weights: Weights) -> Weights:
    """The second layer without one of two GQA groups (16 of 32 KV rows) and 32 of 96 channels."""
    prefix = "blk.1."
    for name in ("attn_q", "attn_k", "attn_v"):
        rows = weights[f"{prefix}{name}.weight"]
        weights[f"{prefix}{name}.weight"] = rows[: len(rows) // 2]
    weights[f"{prefix}attn_output.weight"] = weights[f"{prefix}attn_output.weight"][:, :32].copy()
    for name in ("ffn_gate", "ffn_up"):
        weights[f"{prefix}{name}.weight"] = weights[f"{prefix}{name}.weight"][:64]
    weights[f"{prefix}ffn_down.weight"] = weights[f"{prefix}ffn_down.weight"][:, :64].copy()
    return weights


def deci(path: Path) -> Path:
    """The pruned model as llama.cpp loads it: its layers differ, so it is a `deci`."""
    writer = gguf.GGUFWriter(path, "deci")
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(HIDDEN)
    writer.add_head_count([4, 2])
    writer.add_head_count_kv([2, 1])
    writer.add_feed_forward_length([96, 64])
    for name, values in cut(tiny_weights()[0]).items():
        packed = gguf.quantize(values, gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    finish(writer)
    return path


def as_gguf(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "original.gguf", tiny_weights()[0])


@pytest.mark.parametrize("original", [lambda path: hf(path / "hf"), as_gguf])
def test_pruned_and_quantised_is_seen_as_pruned(
    tmp_path: Path, original: Callable[[Path], Path]
) -> None:
    a, b = open_checkpoint(original(tmp_path)), open_checkpoint(deci(tmp_path / "pruned.gguf"))

    found = compare(a, b)

    # 32 rows of q and columns of o, 16 rows of k and v, 32 of each of three for the channels.
    assert found.parameters.removed == (2 * 32 + 2 * 16 + 3 * 32) * HIDDEN
    assert [layer.parameters.is_pruned for layer in found.layers] == [False, True]
    verdicts = {v.role: (v.common, v.pruned, v.outliers) for v in found.verdicts()}
    assert verdicts == {
        **dict.fromkeys((Role.Q, Role.K, Role.V, Role.O), (0.5, (1,), ())),
        **dict.fromkeys((Role.GATE, Role.UP, Role.DOWN), (64 / 96, (1,), ())),
    }
    # Every weight in Q8_0: 34 bytes for 32.
    assert b.bits_per_weight == 8 * 34 / 32


def test_a_gguf_original_and_a_pruned_torch_file(tmp_path: Path) -> None:
    shapes = llama_shapes(TINY, range(1, 2), channels=32)
    torch.save({name: torch.zeros(shape) for name, shape in shapes.items()}, tmp_path / "p.bin")

    found = compare(open_checkpoint(as_gguf(tmp_path)), open_checkpoint(tmp_path / "p.bin"))

    assert found.parameters.removed == 3 * 32 * HIDDEN


def test_swapped_they_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchitectureError, match="not pruned from it"):
        compare(open_checkpoint(deci(tmp_path / "p.gguf")), open_checkpoint(hf(tmp_path / "hf")))
