"""`--search`: how are a prune command's options turned into a search, and what is shown of it?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.report.messages import Messages

if TYPE_CHECKING:
    from prunescope.architecture import Model
    from prunescope.pruning.calibration import CalibrationSet
    from prunescope.pruning.plan import PruningPlan
    from prunescope.pruning.run import Pruned
    from prunescope.pruning.scoring import Computing
    from prunescope.report.console import Screen


def searched(
    say: Messages,
    screen: Screen,
    model: Model,
    plan: PruningPlan,
    calibration: CalibrationSet | None,
    devices: tuple[Computing, str],
    options: dict[str, Any],
) -> Pruned:
    """Score once, try every candidate, print, write and plot them; the best, pruned.

    Args:
        devices: where scores are measured, and candidates evaluated.
    """
    from dataclasses import replace
    from functools import partial

    from prunescope.cli.prune_scoring import scored
    from prunescope.data import embedded_text
    from prunescope.evaluation.perplexity import cut_windows
    from prunescope.evaluation.sliding import Window, text_perplexity
    from prunescope.evaluation.streamed import streamed
    from prunescope.interop.tokenizer import token_ids
    from prunescope.pruning.resolving import resolve
    from prunescope.pruning.run import check_whole
    from prunescope.pruning.search import best_pruned, search, tries
    from prunescope.pruning.selection import unit_scores
    from prunescope.report.plot import check_plot
    from prunescope.report.progress import progress
    from prunescope.report.search import plot_front, print_search, write_search_csv

    plot: Path | None = options["plot"]
    if plot is not None:
        check_plot(plot)
    tokens = token_ids(model, embedded_text("evaluation"))[: options["search_tokens"]]
    cut = cut_windows(tokens, options["max_seq_len"], len(tokens))
    windows = [Window(tuple(each), 1) for each in cut]
    quiet = options["quiet"]
    check_whole(model)
    targets = resolve(replace(plan, budget=None, ratio=0.0), model)
    text = say("prune_scoring" if plan.is_calibrated else "prune_magnitude")
    scores, record = scored(model, plan, targets, options, devices[0], calibration, text)
    units = {
        (target.group.layer or 0, target.group.kind): each
        for target, each in zip(targets, unit_scores(plan, targets, scores), strict=True)
    }
    with progress(say("searching"), tries(plan), quiet) as tick:

        def judge(pruned: Pruned) -> float:
            network = pruned.layered(devices[1])
            measured = text_perplexity(windows, partial(streamed, network))
            tick()
            return measured.value

        found = search(model, plan, units, judge)
    print_search(found, (len(windows), options["max_seq_len"]), screen, say)
    if (path := options["search_csv"]) is not None:
        write_search_csv(found, path)
        screen.line(say("written", path=path), "green")
    if plot is not None:
        plot_front(found, plot, say)
        screen.line(say("plot_written", path=plot), "green")
    return best_pruned(model, plan, found, record, scores.loss)
