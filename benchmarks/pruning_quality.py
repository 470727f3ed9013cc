"""Which importance and which way to share the removal out keeps most? Perplexity at equal size.

python benchmarks/pruning_quality.py [MODEL] [--scores FOLDER] [--measures NAME …]

Prunes SmolLM2-135M-Instruct (made if it is not there) in layers 3..26 to a sparsity of 0.165 by
each measure (random with three seeds) and each method of `prune --search`, and prints the
perplexity of each result on the embedded evaluation text, without any retraining. Each measure is
taken once, on 10 windows of 64 and of 128 tokens; `--scores` keeps what was measured.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from statistics import fmean

from prunescope import load
from prunescope.architecture import Model, describe
from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.data import embedded_text
from prunescope.evaluation.perplexity import cut_windows, perplexity
from prunescope.interop.tokenizer import token_ids
from prunescope.pruning.budget import Budget
from prunescope.pruning.calibration import choose_windows
from prunescope.pruning.plan import PruningPlan
from prunescope.pruning.resolving import resolve
from prunescope.pruning.run import Pruned
from prunescope.pruning.scores import Scores
from prunescope.pruning.scores_file import load_scores, save_scores
from prunescope.pruning.scoring import Computing, all_axes, axes_of, score
from prunescope.pruning.search import METHODS, UnitScores, tried
from prunescope.pruning.selection import unit_scores

DEMO = Path("models/SmolLM2-135M-Instruct")
LAYERS = (3, 27)
SEEDS = (0, 1, 2)
LENGTHS = (64, 128)
FORMS = ("param_first", "vectorize", "param_second", "param_mix")
MEASURES = ("random", "l1", "l2", "wanda", "flap", *(f"taylor-{form}" for form in FORMS))


def plan_of(measure: str, length: int, sparsity: float) -> PruningPlan:
    importance, _, form = measure.partition("-")
    return PruningPlan(
        0.0,
        LAYERS,
        LAYERS,
        importance,  # type: ignore[arg-type]  # one of MEASURES
        form or "param_first",  # type: ignore[arg-type]  # one of FORMS
        example_length=length,
        budget=Budget("sparsity", sparsity),
    )


def scored(model: Model, plan: PruningPlan, file: Path) -> Scores:
    """Read from `file`, or measured and written to it."""
    targets = resolve(replace(plan, budget=None), model)
    if file.exists():
        return load_scores(file, plan, model.checkpoint, axes_of(targets))[0]
    calibration = None
    if plan.is_calibrated:
        tokens = token_ids(model, embedded_text("calibration"))
        calibration = choose_windows(
            tokens, plan.examples, plan.example_length, plan.seed, "embedded"
        )
    with WeightMap() as weights:
        axes = all_axes(model)
        scores = score(model.checkpoint, axes, plan, calibration, weights, Computing())
    record = None if calibration is None else calibration.record
    save_scores(file, scores, plan, model.checkpoint, record)
    return scores


def by_unit(model: Model, plan: PruningPlan, scores: Scores) -> UnitScores:
    targets = resolve(replace(plan, budget=None), model)
    units = unit_scores(plan, targets, scores)
    return {(t.group.layer or 0, t.group.kind): u for t, u in zip(targets, units, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?", default=DEMO)
    parser.add_argument("--scores", type=Path, help="folder to keep scores in")
    parser.add_argument("--measures", nargs="+", choices=MEASURES, default=MEASURES)
    parser.add_argument("--lengths", nargs="+", type=int, default=LENGTHS)
    parser.add_argument("--sparsity", type=float, default=0.165)
    parser.add_argument("--windows", type=int, default=4, help="of 512 tokens, to evaluate on")
    options = parser.parse_args()
    if options.model == DEMO:
        command = [sys.executable, "-m", "prunescope", "demo-model", str(DEMO)]
        subprocess.run(command, check=True)
    model = describe(open_checkpoint(options.model))
    tokens = token_ids(model, embedded_text("evaluation"))
    windows = cut_windows(tokens, 512)[: options.windows]

    def judge(pruned: Pruned) -> float:
        return perplexity(pruned.network("cpu"), windows).value

    def row(name: str, plan: PruningPlan, scores: Scores) -> list[float]:
        units, found = by_unit(model, plan, scores), []
        for method in METHODS if plan.importance != "random" else METHODS[:1]:
            each = tried(model, plan, (LAYERS, LAYERS), method, Fraction(1), units, judge)
            if each is None:
                raise SystemExit(f"{method} cannot remove {options.sparsity}")
            found.append(each.perplexity)
        print(f"| {name} |" + "".join(f" {value:.2f} |" for value in found), flush=True)
        return found

    unpruned = perplexity(load(options.model), windows).value
    print(f"{options.model.name}, sparsity {options.sparsity}, {len(windows)} × 512 tokens")
    print(f"| unpruned | {unpruned:.2f} |\n| measure | {' | '.join(METHODS)} |", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.scores or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for length in options.lengths:
            for measure in options.measures:
                plan = plan_of(measure, length, options.sparsity)
                if measure == "random" and length == options.lengths[0]:
                    plans = [replace(plan, seed=seed) for seed in SEEDS]
                    values = [row(f"random, seed {p.seed}", p, Scores({}))[0] for p in plans]
                    print(f"| random, mean | {fmean(values):.2f} |", flush=True)
                elif plan.is_calibrated:
                    file = folder / f"{measure}-{length}.safetensors"
                    row(f"{measure}, 10 × {length}", plan, scored(model, plan, file))
                elif measure != "random" and length == options.lengths[0]:
                    row(measure, plan, scored(model, plan, folder / f"{measure}.safetensors"))


if __name__ == "__main__":
    main()
