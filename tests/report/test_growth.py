"""What a pruned file has more than its original is told, and never called pruning.

The model: three layers of q, o 8 × 8; k, v 4 × 8; gate, up 12 × 8; down 8 × 12; an embedding of
10 × 8, tied.
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest

from prunescope.analysis.compare import compare
from prunescope.analysis.compare_result import Comparison
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import ArchitectureError
from prunescope.report.analysis import print_analysis
from prunescope.report.console import Screen
from prunescope.report.messages import Language, Messages
from tests.support.sparse import LlamaShape, Shapes, llama_shapes, write_model

TIED = LlamaShape(3, 8, 12, 4, 2, 2, 10, tied=True)
HEAD: Shapes = {"lm_head.weight": (10, 8)}


def compared(folder: Path, original: Shapes, pruned: Shapes) -> Comparison:
    a = open_checkpoint(write_model(folder / "a", TIED, original))
    return compare(a, open_checkpoint(write_model(folder / "b", TIED, pruned)))


def printed(comparison: Comparison, language: Language = "en") -> list[str]:
    out = StringIO()
    print_analysis(comparison, Screen(out), Messages(language))
    return out.getvalue().splitlines()


def test_biases_that_were_added_are_no_pruning(tmp_path: Path) -> None:
    # As FLAP adds them to o and down: here to down of layer 1, which is otherwise whole, and of
    # layer 2, which lost a quarter of its channels.
    pruned = llama_shapes(TIED, range(2, 3), channels=3)
    for layer in (1, 2):
        pruned[f"model.layers.{layer}.mlp.down_proj.bias"] = (8,)

    lines = printed(compared(tmp_path, llama_shapes(TIED), pruned))

    # 2·64 + 2·32 + 3·96 + 2·8 = 496 before, 8 more in layer 1, 3·24 − 8 fewer in layer 2.
    assert lines[4:7] == [
        "    0              496            496     1.0000    0.0000  # not pruned",
        "    1              496            504     1.0161   -0.0161  # grown",
        "    2              496            432     0.8710    0.1290  # pruned",
    ]
    down = lines[lines.index("📊 MLP Down Projection") :]
    # 96 weights before; 72 and 8 after.
    assert down[6:9] == [
        "⚠️ MLP Down Projection has more parameters than in the original (a bias, say) in layers: 1",
        "✅ All pruned layers keep the same share of MLP Down Projection: 0.8333",
        "   Layers not pruned: 0-1",
    ]


def test_what_grew_everywhere_is_not_called_unpruned(tmp_path: Path) -> None:
    pruned = llama_shapes(TIED)
    for layer in range(3):
        pruned[f"model.layers.{layer}.self_attn.q_proj.bias"] = (8,)

    text = "\n".join(printed(compared(tmp_path, llama_shapes(TIED), pruned)))

    assert "Attention Q Projection is not pruned" not in text
    assert "Attention Q Projection has more parameters" in text
    assert "Attention K Projection is not pruned in any layer" in text


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("in_original", [True, False])
def test_a_head_that_only_one_of_them_stores_is_told(
    tmp_path: Path, language: Language, in_original: bool
) -> None:
    without, having = llama_shapes(TIED), llama_shapes(TIED) | HEAD
    comparison = compared(tmp_path, *((having, without) if in_original else (without, having)))

    notes = [line for line in printed(comparison, language) if "(80 " in line]

    only = {
        ("zh", True): "只有原始模型",
        ("zh", False): "只有剪枝后模型",
        ("en", True): "only the original stores",
        ("en", False): "only the pruned model stores",
    }
    assert len(notes) == 1
    assert only[language, in_original] in notes[0]


def test_a_head_in_both_or_in_neither_needs_no_word(tmp_path: Path) -> None:
    for name, head in (("both", HEAD), ("neither", Shapes())):
        shapes = llama_shapes(TIED) | head
        lines = printed(compared(tmp_path / name, shapes, shapes))
        assert not [line for line in lines if line.startswith("Note")]


def test_tokens_that_were_added_are_told(tmp_path: Path) -> None:
    # A padding token, as for training; layer 2 lost a quarter of its channels, 3 × 3 × 8 weights.
    pruned = llama_shapes(TIED, range(2, 3), channels=3) | {"model.embed_tokens.weight": (11, 8)}
    found = compared(tmp_path / "more", llama_shapes(TIED), pruned)
    assert found.parameters.removed == 72 - 8
    note = "Note: the vocabulary grew from 10 to 11 tokens; what that adds is taken off what was"
    assert any(line.startswith(note) for line in printed(found))
    assert any("词表从 10 增至 11 个词元" in line for line in printed(found, "zh"))

    fewer = compared(tmp_path / "fewer", pruned, pruned | {"model.embed_tokens.weight": (10, 8)})
    assert not any("vocabulary" in line for line in printed(fewer))
    with pytest.raises(ArchitectureError, match=r"Token Embedding is 11 × 9, .* swapped"):
        compared(tmp_path / "wider", pruned, pruned | {"model.embed_tokens.weight": (11, 9)})
