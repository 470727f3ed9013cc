"""On a CUDA device scores, perplexity and kept sets are those of the CPU, but for rounding."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import prunescope
from prunescope.evaluation.perplexity import cut_windows, perplexity
from prunescope.evaluation.sliding import sliding_windows, text_perplexity
from prunescope.evaluation.streamed import streamed_model
from tests.support.commands import prunescope as run_prunescope
from tests.support.pruning import described, prune_tiny
from tests.support.pruning import plan as block_plan
from tests.support.streams import FAMILIES, difference, family, plan, scores_of, stored
from tests.support.tiny import tiny_folder

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
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
def test_scores_are_those_of_the_cpu(tmp_path: Path, model_type: str) -> None:
    checkpoint = stored(tmp_path, family(model_type))
    for importance, form in MEASURES:
        here = scores_of(checkpoint, plan(importance, form))
        there = scores_of(checkpoint, plan(importance, form), device="cuda")
        if here.loss is not None:
            assert there.loss == pytest.approx(here.loss, rel=1e-5)
            assert there.influence == pytest.approx(here.influence, rel=1e-4, abs=1e-6)
        assert set(there.rows) == set(here.rows)
        for key, row in here.rows.items():
            assert there.rows[key].device.type == "cpu"
            assert difference(there.rows[key], row) < 1e-4, (importance, form, key)


def test_perplexity_is_that_of_the_cpu(tmp_path: Path) -> None:
    pruned = prune_tiny(described(tiny_folder(tmp_path / "m")), block_plan())
    pruned.save(tmp_path / "out")
    tokens = [(7 * n * n + 3 * n) % 320 for n in range(400)]
    windows = cut_windows(tokens, 50)
    here = perplexity(prunescope.load(tmp_path / "out"), windows)
    there = perplexity(prunescope.load(tmp_path / "out").to("cuda"), windows)
    assert there.value == pytest.approx(here.value, rel=1e-5)
    sliding = sliding_windows(tokens, 64, 32)
    values = []
    for device in ("cpu", "cuda"):
        scorer = streamed_model(described(tmp_path / "out"), device, lambda: None)
        values.append(text_perplexity(sliding, scorer).value)
    assert values[1] == pytest.approx(values[0], rel=1e-5)


def test_commands_keep_the_same_on_either_device(tmp_path: Path) -> None:
    model = tiny_folder(tmp_path / "m")
    states = {}
    for device in ("cpu", "cuda"):
        options = (
            "prune", "--base_model", str(model), "--pruning_ratio", "0.5", "--num_examples", "3",
            "--block_attention_layer_start", "1", "--block_attention_layer_end", "3",
            "--block_mlp_layer_start", "1", "--block_mlp_layer_end", "3", "--device", device,
            "--save_model", "--save_ckpt_log_name", device, "--save_format", "hf",
        )  # fmt: skip
        succeeds(*options, cwd=tmp_path)
        states[device] = load_file(tmp_path / "prune_log" / device / "model.safetensors")
    assert set(states["cuda"]) == set(states["cpu"])
    for name, tensor in states["cpu"].items():
        assert torch.equal(states["cuda"][name], tensor), name
    out = tmp_path / "prune_log" / "cuda"
    succeeds("eval", str(out), "--original", str(model), "--window", "64", "--stride", "64",
            "--speed", "--repeats", "1", "--context", "8", "--new-tokens", "3",
            "--device", "cuda", "--generate", cwd=tmp_path)  # fmt: skip
    succeeds("recover", str(out), "--output", str(tmp_path / "new"), "--device", "cuda",
            "--epochs", "1", cwd=tmp_path)  # fmt: skip
    assert (tmp_path / "new" / "config.json").is_file()


def test_nccl_joins_the_processes_of_torchrun(tmp_path: Path) -> None:
    """One process of a group of one: a machine with one device can have no more."""
    code = (
        "import torch\n"
        "from prunescope.pruning import processes\n"
        "processes.told_count = lambda: 2\n"
        "with processes.joined(processes.local_device(None)) as found:\n"
        "    assert found.device == 'cuda:0', found\n"
        "    assert torch.distributed.get_backend() == 'nccl'\n"
        "    many = processes.Processes(found.rank, 2, found.device)\n"
        "    given = torch.arange(4, dtype=torch.float64)\n"
        "    assert many.summed(given).tolist() == [0, 1, 2, 3]\n"
        "    assert many.summed(given).device.type == 'cpu'\n"
        "    assert many.least(5) == 5\n"
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | told, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]


def succeeds(*words: str, cwd: Path) -> None:
    done = run_prunescope(*words, cwd=cwd)
    assert done.returncode == 0, done.stderr[-3000:]
