"""The model is found in a nest of dicts by the precedence that is written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunescope.checkpoint.state_names import model_names
from prunescope.checkpoint.storage import LocalFile


def names(*paths: tuple[str, ...]) -> list[str]:
    file = LocalFile(Path(".metadata"))
    return list(model_names({".".join(path): path for path in paths}, file).values())


W, B = "layers.0.weight", "layers.0.bias"


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([(W,), (B,)], [W, B]),
        ([("model", W), ("model", B)], [W, B]),
        ([("app", "model", W), ("app", "optim", "state", W)], [W]),
        ([("model", W), ("ema", W), ("step",)], [W]),
        ([("model", B), ("state_dict", W)], [W]),
        ([("actor", W), ("critic", W)], [f"actor.{W}", f"critic.{W}"]),
        ([("net", W), ("optimizer", W)], [W]),
        ([(W,), ("head", "weight"), ("optimizer", "state", W)], [W, "head.weight"]),
        # A model's own modules may be named as training's parts.
        ([("model", "optimizer.w"), ("model", "scaler", "w")], ["optimizer.w", "scaler.w"]),
        ([("scaler",), (W,)], ["scaler", W]),
        ([("model", "model", W), ("model", "lm_head")], [f"model.{W}", "lm_head"]),
        ([("model", "state_dict", W)], [W]),
        ([("optimizer", W), ("lr_scheduler", "x"), ("optim.exp_avg.w",)], []),
        ([], []),
    ],
)
def test_the_precedence(paths: list[tuple[str, ...]], expected: list[str]) -> None:
    assert names(*paths) == expected


def test_prefixes_go_only_where_every_name_has_them() -> None:
    assert names(("module.a",), ("module.b",)) == ["a", "b"]
    assert names(("_orig_mod.module.a",)) == ["a"]
    assert names(("module.a",), ("b",)) == ["module.a", "b"]
    assert names(("module.",)) == ["module."]
