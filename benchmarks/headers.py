"""How long do headers take, from the first instruction of Python to the last line printed?

python benchmarks/headers.py [--runs 10]

Whole processes on sparse files with true headers: Llama-3-8B (4 safetensors shards) and a pruned
torch file, `analyze_pruning.py` and `prunescope size` beside Python doing nothing, safetensors'
`safe_open`, `torch.load(mmap=True, weights_only=True)` and huggingface_hub's metadata parser with
and without its import; on a pair of safetensors files, `ckptkit diff` and `sft diff`, which are
installed into a temporary environment (PEERS=<bin folder> names one that has them, PEERS= none).
Then Llama-3.1-405B, 94,000 tensors as DeepSeek-V3 has them, and curves over the number of tensors
and over bytes.

Each command runs once to warm up and then `--runs` times, in turns with the others of its table, so
that a busy machine is unfair to all alike; modules are found compiled, as a user finds them.
Printed are the median of the processor's time, which other programs disturb little, of the time on
the clock, and the most resident memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
HUB_IMPORT = "from huggingface_hub import get_local_safetensors_metadata"
HUB_PARSER = HUB_IMPORT + "; import sys; get_local_safetensors_metadata(sys.argv[1])"

# What a process has in memory when it starts another counts as the other's: this one has little.
LAUNCH = """
import os, sys, time
start = time.perf_counter()
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, used = os.wait4(child, 0)
print(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, status)
"""
Command = Sequence[str]


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock and of the processor, and MiB of resident memory at the most."""

    wall: float
    processor: float
    peak: float


def once(command: Command) -> Cost:
    """What one run of `command` takes."""
    launch = [sys.executable, "-S", "-E", "-c", LAUNCH, *command]
    done = subprocess.run(launch, capture_output=True, text=True, check=True)
    *numbers, status = done.stdout.split()
    # 256: a difference was found, as `diff` reports it.
    if status not in ("0", "256"):
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return Cost(*map(float, numbers))


def measured(commands: Mapping[str, Command], runs: int) -> dict[str, Cost]:
    """Medians, and the greatest peak, of each command, run in turns."""
    found: dict[str, list[Cost]] = {name: [] for name in commands}
    for turn in range(runs + 1):
        for name, command in commands.items():
            cost = once(command)
            # The first turn compiles modules and fills the page cache.
            if turn:
                found[name].append(cost)
    return {
        name: Cost(
            median(cost.wall for cost in costs),
            median(cost.processor for cost in costs),
            max(cost.peak for cost in costs),
        )
        for name, costs in found.items()
    }


def table(title: str, commands: Mapping[str, Command], unit: str, runs: int) -> dict[str, Cost]:
    """Measure commands and print each, with its processor time in those of `unit`."""
    found = measured(commands, runs)
    print(f"\n{title} (median of {runs})")
    print(f"  {'':44} {'processor':>11} {'clock':>9} {'peak':>12}")
    for name, cost in found.items():
        ratio = cost.processor / found[unit].processor
        print(
            f"  {name:44} {cost.processor:9.3f} s {cost.wall:7.3f} s {cost.peak:8.1f} MiB "
            f"{ratio:8.2f} ×"
        )
    return found


@contextmanager
def peers() -> Iterator[Path | None]:
    """A folder with the commands `ckptkit` and `sft`; None where there shall be or is none."""
    named = os.environ.get("PEERS")
    if named is not None:
        yield Path(named) if named else None
        return
    with tempfile.TemporaryDirectory(prefix="prunescope-peers-") as folder:
        pip = [f"{folder}/bin/pip", "install", "--quiet", "ckptkit[cli]", "sft-cli"]
        for command in ([sys.executable, "-m", "venv", folder], pip):
            if subprocess.run(command, check=False).returncode:
                print("ckptkit and sft-cli cannot be installed: left out", file=sys.stderr)
                yield None
                return
        yield Path(folder) / "bin"


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
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    folder = Path(tempfile.mkdtemp(prefix="prunescope-bench-"))
    try:
        with peers() as found:
            _llama_8b(folder, runs, found)
        _large(folder, max(3, runs // 3))
    finally:
        shutil.rmtree(folder)


def _llama_8b(folder: Path, runs: int, peers: Path | None) -> None:
    python = sys.executable
    ours = str(Path(python).parent / "prunescope")
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
            "prunescope size, both": [ours, "size", str(original), str(folder / "pruned.bin")],
            "prunescope size, the shards": [ours, "size", str(original)],
            "prunescope size, the torch file": [ours, "size", str(folder / "pruned.bin")],
            "safetensors safe_open, the shards": [python, "-c", SAFE_OPEN, str(original)],
            "huggingface_hub metadata, the shards": [python, "-c", HUB_PARSER, str(original)],
            "huggingface_hub, its import alone": [python, "-c", HUB_IMPORT],
            "torch.load(mmap, weights_only), torch file": [
                python, "-c", TORCH_LOAD, str(folder / "pruned.bin")],
        },
        "python -c pass",
        runs,
    )  # fmt: skip
    files = [str(folder / "whole.safetensors"), str(folder / "pruned.safetensors")]
    rows: dict[str, Command] = {
        "python -c pass": [python, "-c", "pass"],
        "prunescope analyze": [ours, "analyze", *files],
    }
    for name in ("ckptkit", "sft") if peers else ():
        rows[f"{name} diff"] = [f"{peers}/{name}", "diff", *files]
    table("Llama-3-8B, two safetensors files", rows, "python -c pass", runs)


def _large(folder: Path, runs: int) -> None:
    ours = [str(Path(sys.executable).parent / "prunescope")]
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
                *ours, "analyze", str(folder / "405b"), str(folder / "405b-pruned")],
            "size, 94,000 tensors in 163 shards": [*ours, "size", str(moe)],
        },
        "python -c pass",
        runs,
    )  # fmt: skip
    rows: dict[str, Command] = {"python -c pass": [sys.executable, "-c", "pass"]}
    for layers in (8, 32, 128, 512, 2048):
        shape = LlamaShape(layers, 4096, 14336, 32, 8, 128, 128256, tied=False)
        path = write_model(folder / f"{layers}", shape, llama_shapes(shape))
        rows[f"size, {9 * layers + 3:,} tensors of one size"] = [*ours, "size", str(path)]
    for hidden in (512, 2048, 8192):
        shape = LlamaShape(32, hidden, 4 * hidden, 32, 8, hidden // 32, 128256, tied=False)
        path = write_model(folder / f"h{hidden}", shape, llama_shapes(shape))
        size = sum(f.stat().st_size for f in path.iterdir()) / 2**30
        rows[f"size, 291 tensors, {size:.1f} GiB"] = [*ours, "size", str(path)]
    found = table("Cost over tensors, and over bytes", rows, "python -c pass", runs)
    few, many = (found[f"size, {9 * layers + 3:,} tensors of one size"] for layers in (8, 2048))
    each = (many.processor - few.processor) / (9 * (2048 - 8))
    print(f"  {1e6 * each:.1f} µs of the processor for each tensor")
    for layers in (32, 128, 512):
        name = f"size, {9 * layers + 3:,} tensors of one size"
        straight = few.processor + each * 9 * (layers - 8)
        print(f"  {name}: {found[name].processor / straight:.2f} × what a straight line says")


if __name__ == "__main__":
    main()
