"""What does scoring a model take? Seconds and peak memory, beside those who hold all of it.

python benchmarks/pruning_memory.py [--model FOLDER] [--runs 3] [--depths 8,16,32,64]
python benchmarks/pruning_memory.py --llama-3-8b FOLDER [--dtype float32] [--layers 32]

The first: Taylor scores (`param_first`) of SmolLM2-135M-Instruct (made if it is not there) from
the same 10 windows of 64 tokens, each contender in a process of its own, in turns: prunescope;
Torch-Pruning 1.6.1 (`GroupTaylorImportance`, every gradient kept, as its documentation has it);
and a plain script that backpropagates everything, keeps all gradients and then scores. Then
prunescope on models of 8 to 64 layers of one width. Best times (of the wall clock, and of the CPUs,
which other programs disturb less) and peak resident memory, mapped pages included.

The second: a Llama-3-8B of random weights in bfloat16 (16 GB, written to FOLDER if it is not
there), with what each layer costs; `--dtype float32` where the CPU has no arithmetic for bfloat16,
`--layers 2` where time is short.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).parents[1]
DEMO = Path("models/SmolLM2-135M-Instruct")
LLAMA_3_8B = {
    "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "head_dim": 128, "rope_theta": 500000.0, "tie_word_embeddings": False,
}  # fmt: skip
WINDOWS, LENGTH = 10, 64


def windows(vocabulary: int) -> list[list[int]]:
    """The same token windows for everybody."""
    import random

    chance = random.Random(0)
    return [[chance.randrange(vocabulary) for _ in range(LENGTH)] for _ in range(WINDOWS)]


def pruned_layers(depth: int) -> tuple[int, int]:
    """Of 32 layers all but the first three and the last two, as the mission's command has it."""
    return depth // 10, depth - depth // 16


def ours(folder: Path, dtype: str | None = None) -> dict[str, float]:
    """prunescope's pass over the groups that a plan for most layers would cut."""
    from collections.abc import Iterator
    from contextlib import contextmanager

    import torch

    from prunescope.architecture import describe
    from prunescope.checkpoint import open_checkpoint
    from prunescope.checkpoint.weights import WeightMap
    from prunescope.pruning.calibration import CalibrationSet
    from prunescope.pruning.plan import PruningPlan
    from prunescope.pruning.resolving import resolve
    from prunescope.pruning.scoring import Computing, axes_of, score

    model = describe(open_checkpoint(folder))
    depth = len(model.layers)
    layers = pruned_layers(depth)
    plan = PruningPlan(0.25, layers, layers, "taylor")
    chosen = tuple(map(tuple, windows(model.checkpoint.config["vocab_size"])))
    ticks = [time.perf_counter()]

    @contextmanager
    def progress(steps: int) -> Iterator[Callable[[], None]]:
        def tick() -> None:
            ticks.append(time.perf_counter())
            if model.checkpoint.config["hidden_size"] == LLAMA_3_8B["hidden_size"]:
                taken, peak = ticks[-1] - ticks[-2], memory("VmHWM")
                print(f"{len(ticks) - 1}/{steps} {taken:.1f} s {peak:.0f} MiB", file=sys.stderr)

        yield tick

    computing = Computing(dtype=dtype and getattr(torch, dtype))

    with WeightMap() as weights:
        axes = axes_of(resolve(plan, model))
        calibration = CalibrationSet("random", chosen, "")
        scores = score(model.checkpoint, axes, plan, calibration, weights, computing, progress)
    steps = [after - before for before, after in pairwise(ticks)]
    assert scores.loss is not None
    return {
        "loss": scores.loss,
        "forward of a layer": sum(steps[1:depth]) / (depth - 1),
        "loss and head": steps[depth],
        "backward of a layer": sum(steps[depth + 1 :]) / len(steps[depth + 1 :]),
    }


def plain(folder: Path) -> dict[str, float]:
    """Everything in memory: all weights, all activations, all gradients."""
    import torch
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
    ids = torch.tensor(windows(network.config.vocab_size))
    loss = network(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    scores = {}
    for name, parameter in network.named_parameters():
        salience = (parameter.detach().float() * parameter.grad.float()).abs()
        for axis in range(salience.dim()):
            others = [a for a in range(salience.dim()) if a != axis]
            scores[name, axis] = salience.sum(others) if others else salience
    return {"loss": loss.item()}


def torch_pruning(folder: Path) -> dict[str, float]:
    """Torch-Pruning's Taylor importance of each MLP and attention group, without removing any."""
    import torch
    import torch_pruning as tp
    from transformers import AutoModelForCausalLM

    # It cannot trace sdpa attention.
    network = AutoModelForCausalLM.from_pretrained(
        folder, dtype="auto", attn_implementation="eager"
    ).eval()
    network.config.use_cache = False
    ids = torch.tensor(windows(network.config.vocab_size))
    loss = network(input_ids=ids, labels=ids).loss
    loss.backward()
    importance = tp.importance.GroupTaylorImportance()
    graph = tp.DependencyGraph().build_dependency(network, ids[:1])
    depth = len(network.model.layers)
    for layer in network.model.layers[slice(*pruned_layers(depth))]:
        for root in (layer.mlp.gate_proj, layer.self_attn.k_proj):
            wanted = list(range(root.out_features))
            importance(graph.get_pruning_group(root, tp.prune_linear_out_channels, wanted))
    return {"loss": loss.item()}


CONTENDERS = {"prunescope": ours, "plain": plain, "Torch-Pruning": torch_pruning}


def run_alone(contender: str, folder: Path, *options: str) -> dict[str, float]:
    """One contender in a fresh process: what it says, its seconds and its peak in MiB."""
    command = [sys.executable, __file__, "--alone", contender, "--model", str(folder), *options]
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - start
    return json.loads(done.stdout.splitlines()[-1]) | {"process": seconds}


def alone(contender: str, folder: Path, dtype: str | None) -> None:
    """Run one contender here, and print what it took."""
    import torch
    import transformers
    from transformers.models.llama import modeling_llama  # noqa: F401 - imports are not counted

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    before = memory("VmRSS")
    start, worked = time.perf_counter(), time.process_time()
    said = ours(folder, dtype) if contender == "prunescope" else CONTENDERS[contender](folder)
    said |= {"seconds": time.perf_counter() - start, "cpu": time.process_time() - worked}
    print(json.dumps(said | {"peak": memory("VmHWM"), "imported": before}))


def memory(key: str) -> float:
    """MiB that this process has in memory (VmRSS), or has had at most (VmHWM)."""
    # Not getrusage: its peak counts from the size of whoever started the process.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


def compare(folder: Path, runs: int) -> None:
    """Each contender in turn, so that all meet the same machine."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for _ in range(runs):
        for name, results in found.items():
            results.append(run_alone(name, folder))
    least = {
        name: {key: min(result[key] for result in results) for key in results[0]}
        for name, results in found.items()
    }
    ours = least["prunescope"]
    for name, theirs in least.items():
        print(
            f"{name:14} {theirs['seconds']:6.2f} s, {theirs['cpu']:6.2f} s of CPU, "
            f"{theirs['peak']:5.0f} MiB, loss {theirs['loss']:.5f}   ours / this: "
            + ", ".join(f"{ours[key] / theirs[key]:.2f}" for key in ("seconds", "cpu", "peak"))
        )


def deepen(depths: list[int]) -> None:
    """Memory against depth, at one width."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {"vocab_size": 8192, "hidden_size": 512, "intermediate_size": 1536,
             "num_attention_heads": 8, "num_key_value_heads": 4}  # fmt: skip
    for depth in depths:
        with tempfile.TemporaryDirectory(prefix="prunescope-bench-") as folder:
            network = LlamaForCausalLM(LlamaConfig(num_hidden_layers=depth, **shape))
            size = sum(p.numel() for p in network.parameters()) * 4 / 2**20
            network.save_pretrained(folder)
            del network
            result = run_alone("prunescope", Path(folder))
            over = result["peak"] - result["imported"]
            print(
                f"{depth:3} layers, {size:5.0f} MiB of weights: peak {result['peak']:5.0f} MiB, "
                f"{over:4.0f} above the imports, {result['cpu']:.2f} s of CPU"
            )


def first_layers(folder: Path, depth: int, target: Path) -> Path:
    """A model of the first `depth` layers of `folder`: links to its shards."""
    config = json.loads((folder / "config.json").read_text())
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    kept = {
        name: file
        for name, file in index.items()
        if not name.startswith("model.layers.") or int(name.split(".")[2]) < depth
    }
    for file in set(kept.values()):
        (target / file).hardlink_to(folder / file)
    (target / "config.json").write_text(json.dumps(config | {"num_hidden_layers": depth}))
    (target / "model.safetensors.index.json").write_text(json.dumps({"weight_map": kept}))
    return target


def repeated() -> Callable[[tuple[int, ...]], torch.Tensor]:
    """Draws weights from a pool, each time from an odd place: to draw eight billion takes long."""
    import torch

    pool = (torch.randn(10_000_019, generator=torch.Generator().manual_seed(0)) * 0.02).bfloat16()
    places = count(step=7919)

    def draw(shape: tuple[int, ...]) -> torch.Tensor:
        size = shape[0] * shape[1]
        return pool.roll(next(places)).repeat(-(-size // len(pool)))[:size].view(shape)

    return draw


def write_8b(folder: Path, draw: Callable[[tuple[int, ...]], torch.Tensor]) -> None:
    """A Llama-3-8B of random weights, a shard for each layer; never in memory as a whole.

    Args:
        draw: shape → a bfloat16 matrix.
    """
    import torch
    from safetensors.torch import save_file

    sys.path.insert(0, str(ROOT))
    from tests.support.sparse import LLAMA_3_8B as SHAPE
    from tests.support.sparse import llama_shapes

    folder.mkdir(parents=True)
    config = LLAMA_3_8B | {"model_type": "llama", "architectures": ["LlamaForCausalLM"],
                           "rms_norm_eps": 1e-5, "hidden_act": "silu", "dtype": "bfloat16",
                           "max_position_embeddings": 8192}  # fmt: skip
    shards: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for name, shape in llama_shapes(SHAPE).items():
        parts = name.split(".")
        shard = parts[2] if parts[1] == "layers" else parts[-2]
        shards.setdefault(shard, []).append((name, shape))
    index = {}
    for number, members in enumerate(shards.values(), 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        state = {}
        for name, shape in members:
            if "norm" in name:
                state[name] = torch.ones(shape, dtype=torch.bfloat16)
            else:
                state[name] = draw(shape).contiguous()
            index[name] = file
        save_file(state, folder / file, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))


def main() -> None:
    """Do what the options say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, default=DEMO)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--depths", default="8,16,32,64")
    parser.add_argument("--alone", choices=CONTENDERS)
    parser.add_argument("--llama-3-8b", type=Path)
    parser.add_argument("--layers", type=int, default=LLAMA_3_8B["num_hidden_layers"])
    parser.add_argument("--dtype", choices=("float32", "bfloat16"))
    options = parser.parse_args()
    if options.alone:
        alone(options.alone, options.model, options.dtype)
    elif options.llama_3_8b:
        if not options.llama_3_8b.exists():
            write_8b(options.llama_3_8b, repeated())
        dtype = ("--dtype", options.dtype) if options.dtype else ()
        beside = options.llama_3_8b.resolve().parent
        with tempfile.TemporaryDirectory(prefix="prunescope-bench-", dir=beside) as folder:
            chosen = first_layers(options.llama_3_8b, options.layers, Path(folder))
            for key, value in run_alone("prunescope", chosen, *dtype).items():
                print(f"{key:20} {value:10.3f}")
    else:
        if options.model == DEMO:
            command = [sys.executable, "-m", "prunescope", "demo-model", str(DEMO)]
            subprocess.run(command, check=True)
        compare(options.model, options.runs)
        deepen([int(depth) for depth in options.depths.split(",")])


if __name__ == "__main__":
    main()
