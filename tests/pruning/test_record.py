"""`pruning.json` says enough to repeat a run and to check its result, and nothing of the day."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import torch

import prunescope
from prunescope.analysis.counts import Counts
from prunescope.interop.hf_save import RECORD
from prunescope.pruning import record
from prunescope.pruning.groups import Group
from prunescope.pruning.record import pruning_record
from prunescope.pruning.selection import Cut
from prunescope.pruning.targets import Target
from tests.support.pruning import CALIBRATION, plan, prune_tiny
from tests.support.tiny import BIASES, tiny_model, tiny_network

# Four GQA groups of three query heads each, and six channels.
ATTENTION = Group(3, "attention", 4, {"kv_heads": 1, "heads": 3}, ())
MLP = Group(3, "mlp", 6, {"channels": 1}, ())
CUTS = (
    Cut(Target(ATTENTION, 2), [0, 3], [4.0, 1.0, 2.0, 8.0]),
    Cut(Target(MLP, 1), [1, 2, 3, 4, 5], [0.5, 1.0, 1.0, 2.0, 3.0, 8.0]),
    Cut(Target(Group(11, "mlp", 2, {"channels": 1}, ()), 0), [0, 1], [1.0, 3.0]),
)


def written(**options: Any) -> dict[str, Any]:
    """The record of `CUTS`, as it comes back from a file."""
    made = pruning_record(plan(**options), CUTS, Counts(1000, 750), None, None)
    return json.loads(json.dumps(made))


def test_what_is_in_it() -> None:
    found = written()
    assert list(found) == ["schema", "plan", "parameters", "calibration", "versions", "layers"]
    assert found["schema"] == "prunescope.pruning/1"
    assert found["parameters"] == {"original": 1000, "pruned": 750}
    assert found["calibration"] is None
    assert found["plan"] == {
        "ratio": 0.5,
        "attention": [1, 3],
        "mlp": [1, 3],
        "importance": "l2",
        "grouping": "sum",
        "seed": 42,
    }


def test_kept_are_the_original_indices_of_each_space() -> None:
    layers = written()["layers"]
    assert list(layers) == ["3", "11"]
    assert list(layers["3"]) == ["attention", "mlp"]
    attention, mlp = layers["3"]["attention"], layers["3"]["mlp"]
    assert (attention["units"], attention["removed_units"]) == (4, 2)
    # KV head 0 has query heads 0, 1, 2; KV head 3 has 9, 10, 11.
    assert attention["kept"] == {"kv_heads": [0, 3], "heads": [0, 1, 2, 9, 10, 11]}
    assert (mlp["units"], mlp["removed_units"]) == (6, 1)
    assert mlp["kept"] == {"channels": [1, 2, 3, 4, 5]}


def test_scores_are_summed_up_for_what_stays_and_what_goes() -> None:
    layers = written()["layers"]
    assert layers["3"]["attention"]["scores"] == {
        "kept": {"min": 4.0, "mean": 6.0, "max": 8.0},
        "removed": {"min": 1.0, "mean": 1.5, "max": 2.0},
    }
    assert layers["3"]["mlp"]["scores"] == {
        # (1 + 1 + 2 + 3 + 8) / 5.
        "kept": {"min": 1.0, "mean": 3.0, "max": 8.0},
        "removed": {"min": 0.5, "mean": 0.5, "max": 0.5},
    }
    assert layers["11"]["mlp"]["scores"] == {
        "kept": {"min": 1.0, "mean": 2.0, "max": 3.0},
        "removed": None,
    }


def test_versions_are_those_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written()["versions"] == {
        "prunescope": prunescope.__version__,
        "torch": version("torch"),
        "transformers": version("transformers"),
    }

    def absent(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(record, "version", absent)
    assert written()["versions"] == {"prunescope": prunescope.__version__}


@pytest.mark.parametrize("importance", ["random", "taylor"])
def test_kept_indices_are_those_of_the_slices(tmp_path: Path, importance: str) -> None:
    network = tiny_network(**BIASES)
    pruned = prune_tiny(tiny_model(tmp_path, network), plan(importance))
    whole = network.state_dict()
    assert list(pruned.record["layers"]) == ["1", "2"]
    for layer, groups in pruned.record["layers"].items():
        rows = {
            space: torch.tensor([unit * width + i for unit in kept for i in range(width)])
            for kind, width in (("attention", 8), ("mlp", 1))
            for space, kept in groups[kind]["kept"].items()
        }
        for part, axis, space in (
            ("self_attn.q_proj.weight", 0, "heads"),
            ("self_attn.q_proj.bias", 0, "heads"),
            ("self_attn.k_proj.weight", 0, "kv_heads"),
            ("self_attn.v_proj.bias", 0, "kv_heads"),
            ("self_attn.o_proj.weight", 1, "heads"),
            ("mlp.gate_proj.weight", 0, "channels"),
            ("mlp.up_proj.bias", 0, "channels"),
            ("mlp.down_proj.weight", 1, "channels"),
        ):
            name = f"model.layers.{layer}.{part}"
            expected = whole[name].index_select(axis, rows[space])
            assert torch.equal(pruned.state[name], expected), name
    assert pruned.record["parameters"] == {
        "original": sum(t.numel() for t in whole.values()),
        "pruned": sum(t.numel() for t in pruned.state.values()),
    }


def test_the_calibration_set_is_named_by_source_size_digest_and_loss(tmp_path: Path) -> None:
    pruned = prune_tiny(tiny_model(tmp_path), plan("taylor", examples=3, example_length=16))
    flat = [token for window in CALIBRATION.windows for token in window]
    assert len(flat) == 48
    assert pruned.record["calibration"] == {
        "source": "made up",
        "windows": 3,
        "length": 16,
        "sha256": hashlib.sha256(struct.pack("<48q", *flat)).hexdigest(),
        "loss": pruned.loss,
    }
    assert pruned.record["plan"]["examples"] == 3
    assert pruned.record["plan"]["example_length"] == 16


def test_it_has_no_path_and_no_date(tmp_path: Path) -> None:
    files = []
    for name in ("one", "another"):
        pruned = prune_tiny(tiny_model(tmp_path / name), plan("taylor"))
        pruned.save(tmp_path / f"{name} pruned")
        files.append((tmp_path / f"{name} pruned" / RECORD).read_bytes())
    assert files[0] == files[1]
    text = files[0].decode("utf-8")
    assert str(tmp_path) not in text
    assert "another" not in text
    assert not re.search(r"\b20\d\d-\d\d", text)
    assert json.loads(text) == json.loads(json.dumps(pruned.record))
