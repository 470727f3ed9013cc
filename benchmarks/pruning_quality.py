"""Does Taylor importance choose better than chance and than L2? Perplexity at the same ratio.

python benchmarks/pruning_quality.py [MODEL]

Prunes SmolLM2-135M-Instruct (made if it is not there) at ratio 0.25 in layers 3..26 by each
measure, random with five seeds, and prints the perplexity of each result on the embedded
evaluation text (20 windows of 512 tokens), without any retraining.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from statistics import fmean

from prunescope import load
from prunescope.architecture import describe
from prunescope.checkpoint import open_checkpoint
from prunescope.data import embedded_text
from prunescope.evaluation.perplexity import cut_windows, perplexity
from prunescope.interop.hf import load_tokenizer
from prunescope.pruning.calibration import choose_windows
from prunescope.pruning.plan import PruningPlan, resolve
from prunescope.pruning.run import Pruned, prune

DEMO = Path("models/SmolLM2-135M-Instruct")
SEEDS = (0, 1, 2, 3, 4)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO
    if folder == DEMO:
        command = [sys.executable, "-m", "prunescope", "demo-model", str(DEMO)]
        subprocess.run(command, check=True)
    tokenizer = load_tokenizer(folder)
    texts = {
        part: tokenizer(embedded_text(part))["input_ids"] for part in ("calibration", "evaluation")
    }
    windows = cut_windows(texts["evaluation"], 512)
    model = describe(open_checkpoint(folder))

    def pruned(importance: str, form: str = "param_first", seed: int = 42) -> Pruned:
        plan = PruningPlan(0.25, (3, 27), (3, 27), importance, form, seed=seed)
        calibration = choose_windows(
            texts["calibration"], plan.examples, plan.example_length, plan.seed, "embedded"
        )
        return prune(
            model,
            plan,
            resolve(plan, model),
            calibration,
            "cpu",
            lambda _: nullcontext(lambda: None),
        )

    def measure(importance: str, form: str = "param_first", seed: int = 42) -> float:
        return perplexity(pruned(importance, form, seed).network("cpu"), windows).value

    parameters = pruned("random").parameters
    print(f"{folder.name}: {parameters.original:,} -> {parameters.pruned:,} parameters")
    print(f"{'unpruned':24} {perplexity(load(folder), windows).value:10.2f}")
    taylor = measure("taylor")
    print(f"{'taylor param_first':24} {taylor:10.2f}")
    print(f"{'taylor vectorize':24} {measure('taylor', 'vectorize'):10.2f}")
    randoms = [measure("random", seed=seed) for seed in SEEDS]
    spread = f"({min(randoms):.2f} to {max(randoms):.2f})"
    print(f"{'random, mean of 5 seeds':24} {fmean(randoms):10.2f}  {spread}")
    print(f"{'l1':24} {measure('l1'):10.2f}")
    l2 = measure("l2")
    print(f"{'l2':24} {l2:10.2f}")
    print(f"random / taylor = {fmean(randoms) / taylor:.4f}, l2 / taylor = {l2 / taylor:.4f}")


if __name__ == "__main__":
    main()
