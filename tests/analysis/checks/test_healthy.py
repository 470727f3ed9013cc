"""A healthy model passes every check: whatever its family, and whether pruned or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from prunescope.analysis.verify import verify
from prunescope.checkpoint import open_checkpoint
from prunescope.interop.hf_config import config_for
from tests.support.pruning import described, plan, prune_tiny, store_as_torch
from tests.support.sparse import LLAMA_3_8B, TINYLLAMA, LlamaShape, llama_shapes, write_model
from tests.support.tiny import BIASES, tiny_folder, tiny_network
from tests.support.verify import codes, failed, pruned_pair, verdicts, verified

MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"family": "mistral"},
    "tied": {"tie_word_embeddings": True},
    "biases": BIASES,
    "no GQA": {"num_key_value_heads": 4},
    "one KV head": {"num_key_value_heads": 1},
    "bfloat16": {"dtype": torch.bfloat16},
}
# One KV head cannot be pruned.
PRUNED = [name for name in MODELS if name != "one KV head"]


@pytest.mark.parametrize("name", MODELS)
def test_an_unpruned_model_is_silent(tmp_path: Path, name: str) -> None:
    folder = tiny_folder(tmp_path, **MODELS[name])
    for original in (None, folder):
        found = verdicts(verified(folder, original, weights=True))
        silent = {"record": "skip"}
        if original is None:
            names = ("depth", "untouched", "target", "sparsity", "directions")
            silent |= dict.fromkeys(names, "skip")
        assert found == dict.fromkeys(found, "pass") | silent


@pytest.mark.parametrize("name", PRUNED)
def test_what_llama3_py_writes_is_silent(tmp_path: Path, name: str) -> None:
    original, pruned = pruned_pair(tmp_path, **MODELS[name])
    found = verified(pruned, original, weights=True)
    assert set(verdicts(found).values()) == {"pass"}
    alone = verified(pruned, weights=True)
    assert set(verdicts(alone).values()) == {"pass", "skip"}


def test_a_head_and_embedding_that_share_their_bytes_are_tied(tmp_path: Path) -> None:
    network = tiny_network(tie_word_embeddings=True)
    folder = store_as_torch(tiny_folder(tmp_path, network), network.state_dict())
    assert set(verdicts(verified(folder, folder)).values()) == {"pass", "skip"}


def test_every_layer_may_be_pruned_alike(tmp_path: Path) -> None:
    original = tiny_folder(tmp_path / "original")
    everywhere = plan(attention=(0, 4), mlp=(0, 4))
    prune_tiny(described(original), everywhere).save(tmp_path / "pruned")
    found = verified(tmp_path / "pruned", original)
    assert failed(found) == set()
    assert [each.verdict for each in found.checks if each.group == "loading"] == ["pass"] * 3


def sparse_pair(
    folder: Path, shape: LlamaShape, pruned: range, q_rows: int, kv_rows: int, channels: int
) -> tuple[Path, Path]:
    """A sparse model and a pruned one whose config.json describes it."""
    original = write_model(folder / "original", shape, llama_shapes(shape))
    shapes = llama_shapes(shape, pruned, q_rows, kv_rows, channels)
    target = write_model(folder / "pruned", shape, shapes)
    lengths = {
        (layer, space): length
        for layer in range(shape.layers)
        for space, length in {
            "heads": shape.heads - q_rows // shape.head_dim * (layer in pruned),
            "kv_heads": shape.kv_heads - kv_rows // shape.head_dim * (layer in pruned),
            "channels": shape.intermediate - channels * (layer in pruned),
        }.items()
    }
    config = config_for(described(original), lengths)
    (target / "config.json").write_text(json.dumps(config))
    return original, target


@pytest.mark.parametrize(
    ("shape", "arguments", "parameters"),
    [
        # LLM-Pruner's published results: 2 of 8 KV heads with their 8 of 32 query heads; 1 of 4
        # with its 8.
        (LLAMA_3_8B, (range(4, 30), 1024, 256, 3584), 6_612_586_496),
        (TINYLLAMA, (range(4, 18), 512, 64, 1408), 945_907_712),
    ],
)
def test_llm_pruners_published_results_are_silent(
    tmp_path: Path, shape: LlamaShape, arguments: Any, parameters: int
) -> None:
    original, pruned = sparse_pair(tmp_path, shape, *arguments)
    found = verified(pruned, original)
    assert found.pruned.parameters == parameters
    assert failed(found) == set()
    # Nothing was recorded, and no weights were read.
    skipped = dict.fromkeys(("record", "finite", "zeros"), "skip")
    assert verdicts(found) == dict.fromkeys(verdicts(found), "pass") | skipped


def test_as_many_rows_less_of_keys_as_of_queries_are_mispaired(tmp_path: Path) -> None:
    # 8,030,261,248 → 6,727,929,856: 256 rows fewer of q, k, v and o alike, 32/8 → 30/6 heads.
    original, pruned = sparse_pair(tmp_path, LLAMA_3_8B, range(3, 30), 256, 256, 3584)
    found = verified(pruned, original)
    assert found.pruned.parameters == 6_727_929_856
    assert failed(found) == {"grouping"}
    assert codes(found, "grouping") == {"foreign"}
    (finding,) = next(c for c in found.checks if c.name == "grouping").findings
    assert (finding.values["now"], finding.values["then"]) == (5, 4)
    assert finding.layers == tuple(range(3, 30))
    # Alone, layers that differ are a hint.
    assert codes(verified(pruned), "grouping", "warn") == {"shares_differ"}


def test_a_gguf_is_held_against_the_folder_it_came_from(tmp_path: Path, smollm2: Path) -> None:
    from prunescope.interop.demo_source import find_gguf

    a, b = open_checkpoint(smollm2), open_checkpoint(find_gguf(tmp_path))
    for pruned, original in ((a, b), (b, a)):
        found = verify(pruned, original)
        assert failed(found) == set()
        assert "warn" not in verdicts(found).values()
