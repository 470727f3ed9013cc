"""What tables say of layers that are two stacks, and of modules that are no projection of seven."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.commands import prunescope
from tests.support.families import family_folder


def analysed(folder: Path, name: str, *options: str) -> str:
    family_folder(name, folder / "model")
    done = prunescope("analyze", "model", "model", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_encoder_decoders_layers_are_numbered_through(tmp_path: Path) -> None:
    text = analysed(tmp_path, "t5", "--output", "table.csv")
    assert "layers are numbered one stack after the other: encoder 0-1; decoder 2-4\n" in text
    rows = (tmp_path / "table.csv").read_text("utf-8").splitlines()[1:]
    layers = {row.split(",")[1]: [] for row in rows}
    for row in rows:
        layers[row.split(",")[1]].append(int(row.split(",")[0]))
    assert layers["Attention Q Projection"] == [0, 1, 2, 3, 4]
    assert layers["Cross-Attention Q Projection"] == [2, 3, 4]
    found = json.loads(analysed(tmp_path, "t5", "--json"))
    assert found["stacks"] == {"encoder": [0, 1], "decoder": [2, 3, 4]}
    assert found["generic"] is False


def test_other_projections_follow_the_seven(tmp_path: Path) -> None:
    text = analysed(tmp_path, "deepseek_v3", "--lang", "zh")
    titles = [line[2:] for line in text.splitlines() if line.startswith("📊")]
    assert titles == [
        "Attention O Projection", "MLP Gate Projection", "MLP Up Projection",
        "MLP Down Projection", "Attention Q-A Projection", "Attention Q-B Projection",
        "Attention KV-A Projection", "Attention KV-B Projection", "MoE Router",
        "Expert Gate Projection", "Expert Up Projection", "Expert Down Projection",
        "Shared Expert Gate Projection", "Shared Expert Up Projection",
        "Shared Expert Down Projection",
    ]  # fmt: skip
    # Six experts of 24 channels.
    assert "6 × 24 × 32" in text
    assert "未知架构" not in text
