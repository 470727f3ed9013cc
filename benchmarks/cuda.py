"""What does a Llama-3-8B take on a CUDA device? Seconds, device memory and resident memory.

python benchmarks/cuda.py FOLDER [--only prune,eval]

A model of random weights in bfloat16 (16 GB, written to FOLDER/llama if it is not there, drawn on
the device) with a small tokenizer. Each command is a process of its own: the whole of `llama3.py`
with Taylor scores of 10 windows of 64 tokens; the same of every axis, by
per-example gradients, and from saved scores; trace and
sparsity of what was written; perplexity, whole and streamed; and speed beside the bound that the
device's peaks set. Device memory is what torch has reserved at the most, and what the driver says
is in use at the end, the context included (torch gives nothing back before).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

RANGES = (
    "--block_attention_layer_start", "3", "--block_attention_layer_end", "30",
    "--block_mlp_layer_start", "3", "--block_mlp_layer_end", "30",
)  # fmt: skip
PRUNE = ("prune", "--base_model", "llama", "--pruning_ratio", "0.25", *RANGES, "--lang", "en")
PRUNED = "prune_log/first"
COMMANDS: dict[str, tuple[str, ...]] = {
    "prune": (*PRUNE, "--save_ckpt_log_name", "first", "--save_model", "--device", "cuda"),
    "prune, saving all scores": (*PRUNE, "--save_scores", "scores.safetensors",
                                 "--device", "cuda"),
    "prune, per-example gradients": (*PRUNE, "--taylor", "param_mix", "--device", "cuda"),
    "prune, from saved scores": (*PRUNE, "--scores", "scores.safetensors"),
    "trace": ("trace", "llama", PRUNED),
    "sparsity": ("sparsity", PRUNED),
    "eval": ("eval", PRUNED, "--original", "llama", "--max-tokens", "8192", "--no-stream"),
    "eval, streamed": ("eval", PRUNED, "--original", "llama", "--max-tokens", "8192", "--stream"),
    "eval, speed": ("eval", PRUNED, "--original", "llama", "--no-perplexity", "--speed",
                    "--context", "2048", "--new-tokens", "64", "--device-name", "h200"),
    "eval, speed of batches": ("eval", PRUNED, "--original", "llama", "--no-perplexity", "--speed",
                               "--batch", "32", "--context", "512", "--new-tokens", "64",
                               "--device-name", "h200"),
}  # fmt: skip
# What a process says of itself when it ends.
RUN = """
import atexit, sys, time
start = time.perf_counter()
def say():
    torch = sys.modules.get("torch")
    lines = open("/proc/self/status").read().splitlines()
    peak = next(int(l.split()[1]) / 1024 for l in lines if l.startswith("VmHWM"))
    said = f"{time.perf_counter() - start:.1f} s, peak resident {peak:.0f} MiB"
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        free, total = torch.cuda.mem_get_info()
        said += f", device: {torch.cuda.max_memory_allocated() >> 20} MiB allocated, "
        said += f"{torch.cuda.max_memory_reserved() >> 20} reserved, "
        said += f"{total - free >> 20} in use"
    print("***", said, flush=True)
atexit.register(say)
from prunescope.cli.main import main
main()
"""


def write_model(folder: Path) -> None:
    """The model, and a tokenizer of few words."""
    import torch
    from benchmarks.pruning_memory import write_8b
    from tests.support.tiny import tiny_tokenizer

    torch.manual_seed(0)
    bf16 = {"dtype": torch.bfloat16, "device": "cuda"}
    write_8b(folder, lambda shape: torch.empty(shape, **bf16).normal_(0, 0.02).cpu())
    tiny_tokenizer().save_pretrained(folder)


def main() -> None:
    """Write the model, then run each command and pass on what it says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", help="names of commands, separated by commas")
    options = parser.parse_args()
    if not (options.folder / "llama").exists():
        start = time.perf_counter()
        write_model(options.folder / "llama")
        print(f"model written in {time.perf_counter() - start:.1f} s", flush=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / "src"), *sys.path))}
    for name, words in COMMANDS.items():
        if options.only and name not in options.only.split(","):
            continue
        print(f"\n=== {name}: prunescope {' '.join(words)}", flush=True)
        command = [sys.executable, "-c", RUN, *words]
        done = subprocess.run(command, cwd=options.folder, env=environment)
        if done.returncode:
            print(f"exit code {done.returncode}", flush=True)


if __name__ == "__main__":
    main()
