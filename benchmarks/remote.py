"""What does opening a remote model cost? Requests, bytes and seconds, beside huggingface_hub.

python benchmarks/remote.py

A hub and its content network on loopback serve sparse models with true headers: Llama-3-8B in 4
shards and a 70B model in 30. Each client opens each model five times, in turns, and the median
time counts; every request has a round trip of 0 or 50 ms, which the servers wait before they
answer. Downloads of the shard index go to an empty cache each time. Then whole processes, Python's
start included: `prunescope size` beside huggingface_hub's parser of safetensors metadata, called in
one line.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.hub import Hub, Model, serve_hub
from tests.support.sparse import (
    LLAMA_3_8B,
    LlamaShape,
    llama_shapes,
    write_safetensors,
    write_sharded,
)

LLAMA_3_70B = LlamaShape(80, 8192, 28672, 64, 8, 128, 128256, tied=False)
MODELS = {"meta/8b": (LLAMA_3_8B, 4), "meta/70b": (LLAMA_3_70B, 30)}
ROUND_TRIPS = (0.0, 0.05)
RUNS = 5


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["HF_HOME"] = str(root / "home")
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        os.environ.pop("HF_TOKEN", None)
        with serve_hub(root) as hub:
            # huggingface_hub reads it when it is imported.
            os.environ["HF_ENDPOINT"] = hub.site.url
            for model, (shape, shards) in MODELS.items():
                folder = root / model
                folder.mkdir(parents=True)
                shapes = llama_shapes(shape)
                write_sharded(folder, shapes, shards, write_safetensors, "safetensors")
                (folder / "config.json").write_text(json.dumps(shape.config()))
                hub.models[model] = Model(folder)
            for seconds in ROUND_TRIPS:
                measure(hub, root, seconds)
            for seconds in ROUND_TRIPS:
                whole_processes(hub, root, seconds)


def measure(hub: Hub, root: Path, round_trip: float) -> None:
    from huggingface_hub import get_safetensors_metadata

    from prunescope import open_checkpoint

    hub.round_trip = round_trip
    clients: dict[str, Callable[[str], int]] = {
        "prunescope": lambda model: open_checkpoint(model).parameters,
        "huggingface_hub": lambda model: sum(
            get_safetensors_metadata(model).parameter_count.values()
        ),
    }
    for model in MODELS:
        stored = sum(f.stat().st_size for f in (root / model).glob("*.safetensors"))
        print(f"{model}, {stored / 1e9:.1f} GB, round trip {1000 * round_trip:.0f} ms")
        runs: dict[str, list[tuple[float, int, int]]] = {client: [] for client in clients}
        counts = set()
        for _ in range(RUNS):
            for client, call in clients.items():
                forget(hub, root)
                start = time.perf_counter()
                counts.add(call(model))
                taken = time.perf_counter() - start
                asked = hub.site.asked + hub.cdn.asked
                runs[client].append((taken, len(asked), sum(one.sent for one in asked)))
        assert len(counts) == 1, counts
        costs = {}
        for client, results in runs.items():
            taken, (_, requests, received) = median(r[0] for r in results), results[-1]
            costs[client] = taken, requests, received
            print(
                f"  {client:16} {requests:4} requests {received:10,} bytes {taken:7.3f} s, "
                f"{stored / received:10,.0f} times smaller than the weights"
            )
        ratios = [b / a for a, b in zip(costs["prunescope"], costs["huggingface_hub"], strict=True)]
        print(
            f"  huggingface_hub / prunescope: requests {ratios[1]:.2f}, bytes {ratios[2]:.2f}, "
            f"seconds {ratios[0]:.2f}"
        )


def whole_processes(hub: Hub, root: Path, round_trip: float) -> None:
    """Seconds from starting Python to its end, medians."""
    hub.round_trip = round_trip
    parser = (
        "import sys; from huggingface_hub import get_safetensors_metadata as read; "
        "print(sum(read(sys.argv[1]).parameter_count.values()))"
    )
    commands = {
        "prunescope size": [str(Path(sys.executable).parent / "prunescope"), "size"],
        "huggingface_hub": [sys.executable, "-c", parser],
    }
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for model in MODELS:
        taken: dict[str, list[float]] = {name: [] for name in commands}
        # The first turn compiles modules.
        for turn in range(RUNS + 1):
            for name, command in commands.items():
                forget(hub, root)
                start = time.perf_counter()
                subprocess.run(
                    [*command, model], env=environment, stdout=subprocess.DEVNULL, check=True
                )
                if turn:
                    taken[name].append(time.perf_counter() - start)
        told = ", ".join(f"{name} {median(seconds):.3f} s" for name, seconds in taken.items())
        print(f"{model}, whole process, round trip {1000 * round_trip:.0f} ms: {told}")


def forget(hub: Hub, root: Path) -> None:
    """An empty cache and empty logs."""
    shutil.rmtree(root / "home" / "hub", ignore_errors=True)
    hub.site.asked.clear()
    hub.cdn.asked.clear()


if __name__ == "__main__":
    main()
