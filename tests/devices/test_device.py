"""On another device scores, perplexity and kept sets are those of the CPU, but for rounding."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import prunescope
from prunescope.evaluation.memory import free_memory, peak_memory
from prunescope.evaluation.perplexity import cut_windows, perplexity
from prunescope.evaluation.sliding import sliding_windows, text_perplexity
from prunescope.evaluation.streamed import streamed_model
from prunescope.pruning import batches
from tests.support.pruning import described, prune_tiny
from tests.support.pruning import plan as block_plan
from tests.support.scripts import environment
from tests.support.streams import FAMILIES, difference, family, plan, scores_of, stored
from tests.support.tiny import tiny_folder

MEASURES = (
    ("taylor", "vectorize"),
    ("taylor", "param_first"),
    ("taylor", "param_second"),
    ("taylor", "param_mix"),
    ("wanda", "param_first"),
    ("flap", "param_first"),
    ("l1", "param_first"),
    ("l2", "param_first"),
)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_scores_are_those_of_the_cpu(tmp_path: Path, device: str, model_type: str) -> None:
    checkpoint = stored(tmp_path, family(model_type))
    for importance, form in MEASURES:
        here = scores_of(checkpoint, plan(importance, form))
        there = scores_of(checkpoint, plan(importance, form), device=device)
        if here.loss is not None:
            assert there.loss == pytest.approx(here.loss, rel=1e-5)
            assert there.influence == pytest.approx(here.influence, rel=1e-4, abs=1e-6)
        assert set(there.rows) == set(here.rows)
        for key, row in here.rows.items():
            assert there.rows[key].device.type == "cpu"
            assert difference(there.rows[key], row) < 1e-4, (importance, form, key)


def test_perplexity_is_that_of_the_cpu(tmp_path: Path, device: str) -> None:
    pruned = prune_tiny(described(tiny_folder(tmp_path / "m")), block_plan())
    pruned.save(tmp_path / "out")
    tokens = [(7 * n * n + 3 * n) % 320 for n in range(400)]
    windows = cut_windows(tokens, 50)
    here = perplexity(prunescope.load(tmp_path / "out"), windows)
    there = perplexity(prunescope.load(tmp_path / "out").to(device), windows)
    assert there.value == pytest.approx(here.value, rel=1e-5)
    sliding = sliding_windows(tokens, 64, 32)
    values = []
    for name in ("cpu", device):
        scorer = streamed_model(described(tmp_path / "out"), name, lambda: None)
        values.append(text_perplexity(sliding, scorer).value)
    assert values[1] == pytest.approx(values[0], rel=1e-5)


@pytest.mark.parametrize("importance", ["taylor", "wanda"])
def test_one_layer_at_a_time_lives_there(
    tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch, importance: str
) -> None:
    # Else the last layers stay for as long as there is room.
    monkeypatch.setattr(batches, "_ROOM_ON_ACCELERATORS", 1 << 16)
    peaks = []
    for layers in (2, 4, 8):
        network = family("llama", num_hidden_layers=layers, hidden_size=64, intermediate_size=512)
        checkpoint = stored(tmp_path / str(layers), network)
        with peak_memory(device) as peak:
            scores_of(checkpoint, plan(importance), device=device)
        peaks.append(peak.extra)
    weights = sum(p.numel() * p.element_size() for p in network.base_model.layers[0].parameters())
    assert peaks == pytest.approx([peaks[0]] * 3, rel=0.01)
    # Its weights, their gradients, and what autograd keeps of them.
    assert weights <= peaks[0] < 4 * weights


def test_memory_is_that_of_the_device(device: str) -> None:
    free = free_memory(device)
    assert free
    with peak_memory(device) as peak:
        held = torch.zeros(1 << 22, dtype=torch.uint8).to(device)
        left = free_memory(device)
        del held
    assert peak.extra == 1 << 22
    assert left is not None
    assert free - left >= 1 << 22


def test_commands_keep_the_same_on_either_device(tmp_path: Path, device: str) -> None:
    model = tiny_folder(tmp_path / "m")
    states = {}
    for name in ("cpu", device):
        options = (
            "prune", "--base_model", str(model), "--pruning_ratio", "0.5", "--num_examples", "3",
            "--block_attention_layer_start", "1", "--block_attention_layer_end", "3",
            "--block_mlp_layer_start", "1", "--block_mlp_layer_end", "3", "--device", name,
            "--save_model", "--save_ckpt_log_name", name, "--save_format", "hf",
        )  # fmt: skip
        succeeds(device, *options, cwd=tmp_path)
        states[name] = load_file(tmp_path / "prune_log" / name / "model.safetensors")
    assert set(states[device]) == set(states["cpu"])
    for name, tensor in states["cpu"].items():
        assert torch.equal(states[device][name], tensor), name
    out = tmp_path / "prune_log" / device
    (tmp_path / "text").write_text("Some words to predict, and then some more. " * 9, "utf-8")
    succeeds(device, "eval", str(out), "--original", str(model), "--window", "64", "--stride", "64",
            "--text", "text", "--speed", "--repeats", "1", "--context", "8", "--new-tokens", "3",
            "--device", device, "--generate", cwd=tmp_path)  # fmt: skip


def succeeds(device: str, *words: str, cwd: Path) -> None:
    module = "tests.support.far_device" if device == "far" else "prunescope"
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=cwd,
        env=environment() | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
