"""How long do headers take, from the first instruction of Python to the last line printed?

python benchmarks/headers.py [--runs 10]

Whole processes on sparse files with true headers: Llama-3-8B (4 safetensors shards) against a
pruned torch file, `analyze_pruning.py` and `prunescope size` beside Python doing nothing,
safetensors' `safe_open`, `torch.load(mmap=True, weights_only=True)`, huggingface_hub's metadata
classes, and, on a pair of safetensors files, `ckptkit diff` and `sft diff` where they are installed
(`pip install 'ckptkit[cli]' sft-cli`; PEERS=<bin folder> names another environment that has them).
Then models of 1,137 and 94,000 tensors, and a curve over the number of tensors. Medians, and peak
resident memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.sparse import (  # noqa: E402
    LLAMA_3_8B,
    LlamaShape,
    Shapes,
    llama_shapes,
    write_model,
    write_safetensors,
    write_sharded,
    write_torch_zip,
)

LLAMA_405B = LlamaShape(126, 16384, 53248, 128, 8, 128, 128256, tied=False)
SAFE_OPEN = """
import glob, sys
from safetensors import safe_open
for file in sorted(glob.glob(sys.argv[1] + "/*.safetensors")):
    with safe_open(file, "pt") as f:
        for name in f.keys():
            f.get_slice(name).get_shape()
"""
TORCH_LOAD = """
import sys, torch
for name, tensor in torch.load(sys.argv[1], mmap=True, weights_only=True).items():
    tensor.shape
"""
HUB_PARSER = """
import glob, json, sys
from huggingface_hub.utils import SafetensorsFileMetadata
from huggingface_hub.utils._safetensors import TensorInfo
for file in sorted(glob.glob(sys.argv[1] + "/*.safetensors")):
    with open(file, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
    SafetensorsFileMetadata(header.pop("__metadata__", {}), {
        name: TensorInfo(t["dtype"], t["shape"], tuple(t["data_offsets"]))
        for name, t in header.items()})
"""


# What a process has in memory when it starts another counts as the other's: this one has little.
LAUNCH = """
import os, sys, time
from resource import getrusage, RUSAGE_CHILDREN
start = time.perf_counter()
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
status = os.wait4(child, 0)[1]
print(time.perf_counter() - start, getrusage(RUSAGE_CHILDREN).ru_maxrss, status)
"""


def measured(command: Sequence[str], runs: int) -> tuple[float, float]:
    """Median seconds, and most MiB of resident memory, of `command`."""
    seconds, peak = [], 0
    launch = [sys.executable, "-S", "-E", "-c", LAUNCH, *command]
    for _ in range(runs):
        done = subprocess.run(launch, capture_output=True, text=True, check=True)
        elapsed, resident, status = done.stdout.split()
        if status != "0":
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
        seconds.append(float(elapsed))
        peak = max(peak, int(resident))
    return median(seconds), peak / 1024


def table(title: str, rows: dict[str, Sequence[str]], ours: str, runs: int) -> None:
    """Measure each command and print its ratio to `ours`."""
    print(f"\n{title}")
    found = {name: measured(command, runs) for name, command in rows.items()}
    for name, (seconds, peak) in found.items():
        ratio = seconds / found[ours][0]
        print(f"  {name:44} {seconds:8.3f} s {peak:8.1f} MiB  {ratio:7.2f} ×")


def moe_shapes(layers: int, experts: int) -> Shapes:
    """Tensors as many and as large as those of a Mixture-of-Experts model."""
    shapes: Shapes = {"model.embed_tokens.weight": (129280, 7168)}
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        shapes[prefix + "self_attn.o_proj.weight"] = (7168, 16384)
        for expert in range(experts):
            for name, shape in (
                ("gate", (2048, 7168)),
                ("up", (2048, 7168)),
                ("down", (7168, 2048)),
            ):
                shapes[f"{prefix}mlp.experts.{expert}.{name}_proj.weight"] = shape
                shapes[f"{prefix}mlp.experts.{expert}.{name}_proj.weight_scale_inv"] = (16, 56)
    return shapes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    folder = Path(tempfile.mkdtemp(prefix="prunescope-bench-"))
    try:
        _llama_8b(folder, runs)
        _large(folder, max(3, runs // 3))
    finally:
        shutil.rmtree(folder)


def _llama_8b(folder: Path, runs: int) -> None:
    python = sys.executable
    shapes = llama_shapes(LLAMA_3_8B)
    pruned = llama_shapes(LLAMA_3_8B, range(3, 30), q_rows=1024, kv_rows=256, channels=3584)
    original = folder / "8b"
    original.mkdir()
    write_sharded(original, shapes, 4, write_safetensors, "safetensors")
    (original / "config.json").write_text(json.dumps(LLAMA_3_8B.config()))
    write_torch_zip(folder / "pruned.bin", pruned)
    write_safetensors(folder / "whole.safetensors", shapes)
    write_safetensors(folder / "pruned.safetensors", pruned)
    pair = ["--original_model", str(original), "--pruned_model", str(folder / "pruned.bin")]
    table(
        "Llama-3-8B, 4 safetensors shards, and a pruned torch file of it",
        {
            "python -c pass": [python, "-c", "pass"],
            "analyze_pruning.py, both": [
                python, str(ROOT / "analyze_pruning.py"), *pair, "--output", str(folder / "x.csv")],
            "prunescope size, both": [
                python, "-m", "prunescope", "size", str(original), str(folder / "pruned.bin")],
            "prunescope size, the torch file": [
                python, "-m", "prunescope", "size", str(folder / "pruned.bin")],
            "safetensors safe_open, the shards": [python, "-c", SAFE_OPEN, str(original)],
            "huggingface_hub metadata, the shards": [python, "-c", HUB_PARSER, str(original)],
            "torch.load(mmap, weights_only), torch file": [
                python, "-c", TORCH_LOAD, str(folder / "pruned.bin")],
        },
        "analyze_pruning.py, both",
        runs,
    )  # fmt: skip
    files = [str(folder / "whole.safetensors"), str(folder / "pruned.safetensors")]
    rows = {"prunescope analyze": [python, "-m", "prunescope", "analyze", *files]}
    peers = os.environ.get("PEERS") or str(Path(python).parent)
    for name in ("ckptkit", "sft"):
        if (Path(peers) / name).exists():
            rows[f"{name} diff"] = [str(Path(peers) / name), "diff", *files]
    if len(rows) > 1:
        table("Llama-3-8B, two safetensors files", rows, "prunescope analyze", runs)


def _large(folder: Path, runs: int) -> None:
    python = [sys.executable, "-m", "prunescope"]
    for name, pruned in (("405b", range(0)), ("405b-pruned", range(3, 124))):
        target = folder / name
        target.mkdir()
        shapes = llama_shapes(LLAMA_405B, pruned, channels=13312)
        write_sharded(target, shapes, 191, write_safetensors, "safetensors")
        (target / "config.json").write_text(json.dumps(LLAMA_405B.config()))
    moe = folder / "moe"
    moe.mkdir()
    write_sharded(moe, moe_shapes(61, 256), 163, write_safetensors, "safetensors")
    table(
        "Large models",
        {
            "python -c pass": [sys.executable, "-c", "pass"],
            "analyze, Llama-3.1-405B, 2 × 191 shards": [
                *python, "analyze", str(folder / "405b"), str(folder / "405b-pruned")],
            "size, 94,000 tensors in 163 shards": [*python, "size", str(moe)],
        },
        "python -c pass",
        runs,
    )  # fmt: skip
    rows = {"python -c pass": [sys.executable, "-c", "pass"]}
    for layers in (8, 32, 128, 512, 2048):
        shape = LlamaShape(layers, 4096, 14336, 32, 8, 128, 128256, tied=False)
        path = write_model(folder / f"{layers}", shape, llama_shapes(shape))
        rows[f"size, {9 * layers + 3:,} tensors of one size"] = [*python, "size", str(path)]
    for hidden in (512, 2048, 8192):
        shape = LlamaShape(32, hidden, 4 * hidden, 32, 8, hidden // 32, 128256, tied=False)
        path = write_model(folder / f"h{hidden}", shape, llama_shapes(shape))
        size = sum(f.stat().st_size for f in path.iterdir()) / 2**30
        rows[f"size, 291 tensors, {size:.1f} GiB"] = [*python, "size", str(path)]
    table("Cost over tensors, and over bytes", rows, "python -c pass", runs)


if __name__ == "__main__":
    main()
