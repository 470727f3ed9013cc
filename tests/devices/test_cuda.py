"""What only CUDA has: nccl between processes, and a Trainer that trains there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.commands import prunescope
from tests.support.pruning import described, prune_tiny
from tests.support.pruning import plan as block_plan
from tests.support.tiny import tiny_folder

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_recovers_on_the_device(tmp_path: Path) -> None:
    prune_tiny(described(tiny_folder(tmp_path / "m")), block_plan()).save(tmp_path / "out")
    done = prunescope(
        "recover", "out", "--output", "new", "--device", "cuda", "--epochs", "1", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-3000:]
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
