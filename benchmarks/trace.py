"""How fast is `prunescope trace`, beside reading both files and beside torch?

python benchmarks/trace.py [--gigabytes 3] [--runs 5] [--folder DIR]

A Llama-shaped model of random bf16 weights (hidden 4096, 32 heads, 8 KV heads, 14336 channels) and
a copy that lost two GQA groups and a quarter of its channels in every layer but the first and the
last: real files, nearly twice the size asked for on disk and in the page cache. Whole processes,
best of `--runs`, taken in turns: `cat` of both files, the trace, and a straightforward torch script
that loads both and compares rows (columns, transposed) one by one in their order. Memory is the
peak of what is not file pages (RssAnon), sampled every 10 ms. The first run compiles
modules, the others find them compiled, as a user does.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.sparse import LlamaShape, Shapes, elements, llama_shapes  # noqa: E402

LAYER_BYTES = 2 * 218_112_000
TORCH = """
import sys, torch
from safetensors.torch import load_file

def kept(original, pruned):
    found, index = [], 0
    for row in pruned:
        while not torch.equal(original[index], row):
            index += 1
        found.append(index)
        index += 1
    return found

before, after = load_file(sys.argv[1]), load_file(sys.argv[2])
for name, tensor in after.items():
    if tensor.dim() == 1:
        assert torch.equal(before[name], tensor)
    elif name.endswith(("o_proj.weight", "down_proj.weight")):
        kept(before[name].T.contiguous(), tensor.T.contiguous())
    else:
        kept(before[name], tensor)
"""


def write_pair(folder: Path, layers: int) -> tuple[Path, Path]:
    """The model and its pruned copy, written a tensor at a time."""
    shape = LlamaShape(layers, 4096, 14336, 32, 8, 128, 32000, tied=False)
    cut = range(1, layers - 1)
    before, after = llama_shapes(shape), llama_shapes(shape, cut, 1024, 256, 3584)
    folders = folder / "original", folder / "pruned"
    streams = []
    for path, shapes in zip(folders, (before, after), strict=True):
        path.mkdir()
        (path / "config.json").write_text(json.dumps(shape.config()))
        streams.append((path / "model.safetensors").open("wb"))
        streams[-1].write(header_of(shapes))
    random = np.random.default_rng(0)
    channels = np.sort(random.permutation(14336)[:10752])
    groups = np.array([0, 1, 3, 4, 5, 7])
    for name, size in before.items():
        # Between 2^-7 and 2, either sign: no zeros, infinities or NaN.
        bits = random.integers(0, 1 << 16, size, dtype=np.uint16) & 0x83FF | 0x3C00
        bits.tofile(streams[0])
        if after[name] != size:
            axis = int(after[name][0] == size[0])
            width = size[axis] // 8
            rows = (groups[:, None] * width + np.arange(width)).reshape(-1)
            bits = bits.take(channels if size[axis] == 14336 else rows, axis)
        bits.tofile(streams[1])
    for stream in streams:
        stream.close()
    return folders


def header_of(shapes: Shapes) -> bytes:
    header, position = {}, 0
    for name, shape in shapes.items():
        end = position + 2 * elements(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [position, end]}
        position = end
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    return len(raw).to_bytes(8, "little") + raw


def measured(command: Sequence[str]) -> tuple[float, float]:
    """Seconds, and the peak of anonymous memory in MiB."""
    # Else each run would compile prunescope anew, which no installed package does.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    )
    peak = 0

    def watch() -> None:
        nonlocal peak
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            try:
                lines = status.read_text().splitlines()
            except OSError:
                return
            # A process that has ended, but was not waited for, has no memory to tell of.
            peak = max([peak, *(int(n.split()[1]) for n in lines if n.startswith("RssAnon"))])
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    errors = process.communicate()[1]
    seconds = time.perf_counter() - start
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{errors.decode()}")
    return seconds, peak / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gigabytes", type=float, default=3, help="of the original")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", help="where to make the files; a temporary folder by default")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="prunescope-bench-", dir=options.folder))
    try:
        layers = max(3, round((options.gigabytes * 1e9 - 2 * 2 * 32000 * 4096) / LAYER_BYTES))
        pair = [str(path) for path in write_pair(folder, layers)]
        _compare(pair, options.runs)
    finally:
        shutil.rmtree(folder)


def _compare(pair: Sequence[str], runs: int) -> None:
    files = [f"{path}/model.safetensors" for path in pair]
    size = sum(Path(file).stat().st_size for file in files) / 1e9
    python = sys.executable
    commands = {
        "cat both > /dev/null": ["cat", *files],
        "prunescope trace": [python, "-m", "prunescope", "trace", *pair],
        "torch: load both, compare rows": [python, "-c", TORCH, *files],
    }
    best: dict[str, tuple[float, float]] = {}
    for _ in range(runs):
        for name, command in commands.items():
            found = measured(command)
            best[name] = min(best.get(name, found), found)
    print(f"{size:.2f} GB in two files, warm page cache, best of {runs}")
    reading = best["cat both > /dev/null"][0]
    for name, (seconds, peak) in best.items():
        print(
            f"  {name:34} {seconds:8.2f} s {size / seconds:7.2f} GB/s  "
            f"{seconds / reading:6.2f} × cat  {peak:8.1f} MiB beyond file pages"
        )


if __name__ == "__main__":
    main()
