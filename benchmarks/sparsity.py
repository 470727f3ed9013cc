"""How fast are zeros counted, beside what only counts them?

python benchmarks/sparsity.py [--runs 5] [--gb 2]

One bfloat16 file from a warm page cache, dense and then 2:4-pruned: `prunescope.analysis.sparsity`
(zeros, N:M, blocks, rows and columns; and the same with statistics of the values) in turns with
numpy's `count_nonzero` over a memory map, torch's `count_nonzero` over safetensors' memory map, a
plain torch version of all our figures on one matrix, and `cat`. Best of the runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.zeros import by_torch, pruned  # noqa: E402

from prunescope.analysis.sparsity import sparsity  # noqa: E402
from prunescope.checkpoint import open_checkpoint  # noqa: E402
from prunescope.checkpoint.weights import WeightMap  # noqa: E402

ROWS, COLUMNS = 14336, 4096
# Of a process that has little memory itself when it starts the command.
PEAK = """
import os, resource, sys
os.waitpid(os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ), 0)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""


def write(path: Path, gigabytes: float, is_pruned: bool) -> None:
    """Random matrices of an 8B model's MLP."""
    matrix = torch.randn(ROWS, COLUMNS, generator=torch.Generator().manual_seed(0)) * 0.02
    weight = matrix.bfloat16()
    if is_pruned:
        weight = pruned(weight, 2, 4)
    layers = max(1, round(gigabytes * 1e9 / weight.nbytes))
    # Copies: safetensors refuses tensors that share their memory.
    state = {f"model.layers.{n}.mlp.up_proj.weight": weight.clone() for n in range(layers)}
    save_file(state, path)


def numpy_count(path: Path) -> None:
    """Bits that are not zero: a negative zero counts."""
    with WeightMap() as weights:
        for tensor in open_checkpoint(path).tensors.values():
            np.count_nonzero(np.frombuffer(weights.view(tensor), np.uint16))


def torch_count(path: Path) -> None:
    """By value."""
    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118
            torch.count_nonzero(file.get_tensor(name))


def torch_all(path: Path) -> None:
    """All our figures of one matrix."""
    with safe_open(path, "pt") as file:
        by_torch(file.get_tensor("model.layers.0.mlp.up_proj.weight"))


def cat(path: Path) -> None:
    """The file through a pipe to nowhere."""
    with Path("/dev/null").open("wb") as nowhere:
        subprocess.run(["cat", str(path)], stdout=nowhere, check=True)


def best(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Print a table for each file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--gb", type=float, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="prunescope-bench-") as folder:
        for is_pruned in (False, True):
            path = Path(folder) / "model.safetensors"
            write(path, options.gb, is_pruned)
            compare(path, "2:4-pruned" if is_pruned else "dense", options.runs)
            command = [sys.executable, "-c", PEAK, "-m", "prunescope", "sparsity", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            print(f"  prunescope sparsity, peak resident memory: {int(done.stderr) / 1024:.0f} MiB")


def compare(path: Path, title: str, runs: int) -> None:
    """Each contender in turn, so that all meet the same machine."""
    size = path.stat().st_size
    one = 2 * ROWS * COLUMNS
    contenders: dict[str, tuple[Callable[[Path], object], int]] = {
        "prunescope, zeros": (lambda p: sparsity(open_checkpoint(p)), size),
        "prunescope, every figure": (lambda p: sparsity(open_checkpoint(p), values=True), size),
        "numpy count_nonzero": (numpy_count, size),
        "torch count_nonzero": (torch_count, size),
        "cat > /dev/null": (cat, size),
    }
    seconds = {name: float("inf") for name in contenders}
    for _ in range(runs):
        for name, (call, _) in contenders.items():
            seconds[name] = min(seconds[name], best(lambda call=call: call(path)))
    contenders["torch, every figure (one matrix)"] = (torch_all, one)
    seconds["torch, every figure (one matrix)"] = best(lambda: torch_all(path))
    print(f"\n{title}, {size / 1e9:.2f} GB, {torch.get_num_threads()} torch threads")
    ours = size / seconds["prunescope, zeros"]
    for name, (_, nbytes) in contenders.items():
        speed = nbytes / seconds[name]
        print(f"  {name:34} {speed / 1e9:8.2f} GB/s {speed / ours:8.2f} ×")


if __name__ == "__main__":
    main()
