"""A model that does not fit together fails by name, and nothing else is blamed for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.pruning import State
from tests.support.tiny import BIASES, tiny_folder
from tests.support.verify import (
    Edit,
    check,
    codes,
    failed,
    pruned_pair,
    spoilt,
    verified,
    without_record,
)

LAYER = "model.layers.1."
Q, K, V, O = (f"{LAYER}self_attn.{x}_proj.weight" for x in "qkvo")  # noqa: E741
GATE, UP, DOWN = (f"{LAYER}mlp.{x}_proj.weight" for x in ("gate", "up", "down"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """24 hidden; 2 query heads share the one KV head of 8 rows that layers 1 and 2 have left."""
    original, pruned = pruned_pair(tmp_path_factory.mktemp("pair"), num_key_value_heads=2)
    return original, without_record(pruned)


def heads(state: State, queries: int, keys: int) -> dict[str, torch.Tensor]:
    """Layer 1 with these numbers of heads of 8 rows."""
    return {
        Q: torch.ones(8 * queries, 24),
        K: torch.ones(8 * keys, 24),
        V: torch.ones(8 * keys, 24),
        O: torch.ones(24, 8 * queries),
    }


CONFIG = {"1": {"num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 10}}
FAULTS: dict[str, tuple[Edit, set[str], str, str]] = {
    "columns of down_proj that were missed": (
        lambda state: {DOWN: torch.ones(24, 20)}, {"axes"}, "axes", "lengths_differ",
    ),
    "a key without its value": (
        lambda state: {V: torch.ones(16, 24)}, {"axes"}, "axes", "lengths_differ",
    ),
    "rows of q without columns of o": (
        lambda state: {O: torch.ones(24, 32)}, {"axes"}, "axes", "lengths_differ",
    ),
    "a norm that was cut": (
        lambda state: {f"{LAYER}input_layernorm.weight": torch.ones(23)},
        {"axes", "directions"}, "axes", "length_odd",
    ),
    "half a head": (
        lambda state: {K: torch.ones(12, 24), V: torch.ones(12, 24)},
        {"units"}, "units", "not_whole",
    ),
    "heads that cannot share": (
        lambda state: heads(state, 3, 2), {"grouping", "config"}, "grouping", "not_shared",
    ),
    "heads that meet foreign KV heads": (
        lambda state: heads(state, 3, 1), {"grouping", "config"}, "grouping", "foreign",
    ),
    "a tensor that is missing": (
        lambda state: {UP: None}, {"tensors"}, "tensors", "missing",
    ),
    "a bias that is extra": (
        lambda state: {f"{LAYER}self_attn.q_proj.bias": torch.ones(16)},
        {"tensors", "config"}, "tensors", "extra",
    ),
    "a tensor of another family": (
        lambda state: {f"{LAYER}self_attn.q_norm.weight": torch.ones(8)},
        {"tensors"}, "tensors", "stranger",
    ),
    "an embedding that is missing": (
        lambda state: {"model.embed_tokens.weight": None}, {"tensors"}, "tensors", "missing",
    ),
    "a head that is missing": (
        lambda state: {"lm_head.weight": None}, {"tied"}, "tied", "head_missing",
    ),
    "a layer that is missing": (
        lambda state: dict.fromkeys(name for name in state if name.startswith(LAYER)),
        {"tensors", "config"}, "tensors", "layers_missing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named(pair: tuple[Path, Path], tmp_path: Path, fault: str) -> None:
    edit, expected, name, code = FAULTS[fault]
    found = verified(spoilt(pair[1], tmp_path / "x", edit), pair[0])
    # Of what was changed, the plan may know too.
    plan = {"untouched", "target", "depth"}
    assert failed(found) - plan == expected
    assert codes(found, name) == {code}


def test_a_fault_shows_without_the_original_too(pair: tuple[Path, Path], tmp_path: Path) -> None:
    for number, (fault, code) in enumerate(
        (("columns of down_proj that were missed", "lengths_differ"),
         ("half a head", "not_whole"),
         ("a tensor that is missing", "missing"),
         ("a bias that is extra", "missing"),
         ("heads that cannot share", "not_shared"))
    ):  # fmt: skip
        edit, _, name, _ = FAULTS[fault]
        found = verified(spoilt(pair[1], tmp_path / str(number), edit))
        assert codes(found, name) == {code}, fault


def test_a_lone_bias_makes_the_others_missing(pair: tuple[Path, Path], tmp_path: Path) -> None:
    edit = FAULTS["a bias that is extra"][0]
    found = check(verified(spoilt(pair[1], tmp_path / "x", edit)), "tensors")
    (finding,) = found.findings
    assert (finding.layers, finding.values) == ((0, 2, 3), {"tensor": "self_attn.q_proj.bias"})


def test_fewer_heads_for_each_kv_head_are_worth_a_look(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    edit: Edit = lambda state: heads(state, 1, 1)  # noqa: E731
    found = verified(spoilt(pair[1], tmp_path / "x", edit), pair[0])
    assert codes(found, "grouping", "warn") == {"fewer"}
    assert "grouping" not in failed(found)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "the old counts": ({"per_layer_config": None}, "config_says"),
    "another vocabulary": ({"vocab_size": 319}, "config_says"),
    "another hidden size": ({"hidden_size": 32}, "config_says"),
    "a layer too many": ({"num_hidden_layers": 5}, "config_says"),
    "other heads": ({"num_attention_heads": 8}, "config_says"),
    "another head_dim": ({"head_dim": 4}, "config_says"),
    "a layer that is not there": (
        {"per_layer_config": {"1": CONFIG["1"], "2": CONFIG["1"], "9": CONFIG["1"]}},
        "config_layers",
    ),
    "biases that are not there": ({"attention_bias": True}, "flag_without"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_config_that_does_not_describe_the_weights_fails(
    pair: tuple[Path, Path], tmp_path: Path, fault: str
) -> None:
    changes, code = WRONG[fault]
    found = verified(spoilt(pair[1], tmp_path / "x", config=changes), pair[0])
    assert failed(found) == {"config"}
    assert codes(found, "config") == {code}


def test_biases_that_the_config_does_not_announce_fail(tmp_path: Path) -> None:
    original, pruned = pruned_pair(tmp_path, **BIASES)
    found = verified(spoilt(pruned, tmp_path / "x", config={"mlp_bias": False}), original)
    assert codes(found, "config") == {"flag_unset"}


def test_strange_values_in_a_config_are_no_counts(pair: tuple[Path, Path], tmp_path: Path) -> None:
    strange = {"vocab_size": "320", "per_layer_config": [1], "num_key_value_heads": -1,
               "num_attention_heads": True, "tie_word_embeddings": 0, "dtype": 7}  # fmt: skip
    found = verified(spoilt(pair[1], tmp_path / "x", config=strange), pair[0])
    assert failed(found) == {"config"}


def test_a_model_without_a_config_is_judged_by_what_there_is(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = spoilt(pair[1], tmp_path / "x")
    (folder / "config.json").unlink()
    alone, beside = verified(folder), verified(folder, pair[0])
    assert [check(alone, n).verdict for n in ("config", "tied", "units")] == ["skip"] * 3
    # The original tells how many rows a head has.
    assert [check(beside, n).verdict for n in ("config", "units")] == ["skip", "pass"]


def test_a_head_that_is_stored_though_tied_is_noted(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    from tests.support.tiny import edit_json

    edit_json(folder / "config.json", {"tie_word_embeddings": True})
    assert codes(verified(folder), "tied", "warn") == {"head_twice"}


def test_a_dtype_that_departs_is_noted(pair: tuple[Path, Path], tmp_path: Path) -> None:
    half = spoilt(pair[1], tmp_path / "x", lambda state: {UP: state[UP].half()})
    found = verified(half, pair[0])
    assert codes(found, "dtypes", "warn") == {"dtype_odd"}
    cast = spoilt(pair[1], tmp_path / "y", lambda state: {n: t.half() for n, t in state.items()})
    found = verified(cast, pair[0])
    assert codes(found, "dtypes", "warn") == {"dtype_stated"}
    assert codes(found, "dtypes", "pass") == {"cast"}
    assert failed(found) == set()
