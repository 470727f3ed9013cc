"""Bytes by component, added up by hand from the shapes."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from prunescope.analysis.breakdown import Part, breakdown, by_component
from prunescope.analysis.counts import Counts
from prunescope.architecture import Model, describe
from prunescope.checkpoint import open_checkpoint
from tests.support.families import family_folder
from tests.support.sparse import SMOLLM2, LlamaShape, llama_shapes, write_safetensors

# Hidden 8, 12 channels, 4 heads and 2 KV heads of 2 rows, 10 tokens; bf16.
SMALL = LlamaShape(4, 8, 12, 4, 2, 2, 10, tied=False)


def model(path: Path, **cut: int) -> Model:
    write_safetensors(path, llama_shapes(SMALL, range(1, 3), **cut))
    return describe(open_checkpoint(path))


def test_each_component_counts_its_matrices(tmp_path: Path) -> None:
    before, after = model(tmp_path / "a.safetensors"), model(tmp_path / "b.safetensors", channels=3)

    parts = breakdown(before, after)

    def part(component: str, old: int, new: int) -> Part:
        return Part(component, "BF16", Counts(old, new), Counts(2 * old, 2 * new))  # type: ignore[arg-type]

    assert parts == (
        part("embedding", 80, 80),
        # q and o of 8 × 8, k and v of 4 × 8, in four layers.
        part("attention", 4 * 192, 4 * 192),
        # Three matrices of 12 × 8; in two layers of 9 × 8.
        part("mlp", 4 * 288, 2 * 288 + 2 * 216),
        part("norms", 4 * 16 + 8, 4 * 16 + 8),
        part("head", 80, 80),
    )
    assert sum(p.nbytes.original for p in parts) == before.checkpoint.nbytes
    assert sum(p.nbytes.pruned for p in parts) == after.checkpoint.nbytes


def test_another_dtype_is_another_part_of_the_same_component() -> None:
    parts = (
        Part("mlp", "BF16", Counts(10, 0), Counts(20, 0)),
        Part("mlp", "F32", Counts(0, 10), Counts(0, 40)),
        Part("head", "F32", Counts(1, 1), Counts(4, 4)),
    )
    assert by_component(parts) == {"mlp": Counts(20, 40), "head": Counts(4, 4)}


def test_tied_weights_count_where_they_are_stored(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a.safetensors", llama_shapes(SMOLLM2))
    found = describe(open_checkpoint(tmp_path / "a.safetensors"))
    parts = breakdown(found, found)

    # SmolLM2: the head is the embedding, 49152 × 576, here in bf16.
    assert by_component(parts)["embedding"].original == 49152 * 576 * 2
    assert "head" not in by_component(parts)
    assert sum(p.parameters.original for p in parts) == 134_515_008


# Fused, latent, with norms of heads; with experts, shared ones and a first layer without any; and
# attention of a decoder to its encoder.
@pytest.mark.parametrize(
    ("family", "attention", "mlp"),
    [
        ("phi3", ".self_attn.", ".mlp."),
        ("deepseek_v2", ".self_attn.", ".mlp."),
        ("cohere", ".self_attn.", ".mlp."),
        ("qwen2_moe", ".self_attn.", ".mlp."),
        ("t5 gated", "Attention.", ".DenseReluDense."),
    ],
)
def test_what_belongs_to_attention_and_mlp_counts_there(
    tmp_path: Path, family: str, attention: str, mlp: str
) -> None:
    folder = family_folder(family, tmp_path)
    state = load_file(folder / "model.safetensors")
    model = describe(open_checkpoint(folder))

    found = {part.component: part.parameters.original for part in breakdown(model, model)}

    def of(part: str) -> int:
        return sum(t.numel() for n, t in state.items() if part in n and "norm" not in n)

    assert (found["attention"], found["mlp"]) == (of(attention), of(mlp))
    assert "other" not in found
