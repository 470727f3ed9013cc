"""Checkpoints of several processes, made by torch.distributed itself over gloo on the CPU."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp
from torch import nn
from torch.distributed.checkpoint.filesystem import FileSystemWriter, SerializationFormat
from torch.distributed.checkpoint.state_dict import get_model_state_dict, get_optimizer_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

# Odd lengths, so that processes get unequal shares, and one row, of which one process gets none.
ROWS, COLUMNS = 5, 7
State = dict[str, torch.Tensor]


def whole_state() -> State:
    """What the processes of `save_dtensors` save between them."""
    generator = torch.Generator().manual_seed(3)

    def values(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    return {
        "rows.weight": values(ROWS, COLUMNS),
        "columns.weight": values(ROWS, COLUMNS).to(torch.bfloat16),
        "replicated.weight": values(ROWS, COLUMNS).half(),
        "one_row.weight": values(1, COLUMNS),
        "plain": values(3),
        "scalar": values(),
        "empty": values(0, 4),
    }


def save_dtensors(rank: int, folder: str) -> None:
    """DTensors of every placement beside plain tensors, in a nest with optimizer state."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    state: dict[str, torch.Tensor] = dict(whole_state())
    placements = {
        "rows.weight": Shard(0),
        "columns.weight": Shard(1),
        "replicated.weight": Replicate(),
        "one_row.weight": Shard(0),
    }
    for name, placement in placements.items():
        state[name] = distribute_tensor(state[name], mesh, [placement])
    optimizer = {"state": {"rows.weight": {"exp_avg": torch.zeros(ROWS)}}, "param_groups": [{}]}
    dcp.save({"model": state, "optimizer": optimizer, "step": 7}, checkpoint_id=f"{folder}/torch")
    writer = FileSystemWriter(
        f"{folder}/safetensors", serialization_format=SerializationFormat.SAFETENSORS
    )
    dcp.save({"model": state, "step": 7}, storage_writer=writer)


def small_network() -> nn.Sequential:
    """The network that `save_fsdp` trains for a step, with the same weights each time."""
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(COLUMNS, ROWS), nn.Linear(ROWS, 3, bias=False))


def save_fsdp(rank: int, folder: str) -> None:
    """FSDP2's model and optimizer, as torch's own recipe saves them."""
    network = small_network()
    for layer in network:
        fully_shard(layer)
    fully_shard(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=0.0)
    network(torch.ones(2, COLUMNS)).sum().backward()
    optimizer.step()
    state = {
        "app": {
            "model": get_model_state_dict(network),
            "optim": get_optimizer_state_dict(network, optimizer),
        }
    }
    dcp.save(state, checkpoint_id=folder)


def run_processes(job: Callable[[int, str], None], folder: Path, count: int = 2) -> Path:
    """Run `job(rank, folder)` in `count` processes that know of each other."""
    with tempfile.TemporaryDirectory() as meeting:
        mp.spawn(_worker, (count, job, str(folder), f"{meeting}/store"), nprocs=count)
    return folder


def _worker(
    rank: int, count: int, job: Callable[[int, str], None], folder: str, store: str
) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=count)
    try:
        job(rank, folder)
    finally:
        dist.destroy_process_group()
