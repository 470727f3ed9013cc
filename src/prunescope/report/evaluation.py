"""How does an evaluation read? A table for each thing measured, original beside pruned."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TypeAlias

from prunescope.errors import printable
from prunescope.evaluation.run import Asked, Evaluation
from prunescope.evaluation.sliding import TextPerplexity
from prunescope.evaluation.speed import Speed
from prunescope.report.console import Justify, Screen
from prunescope.report.messages import Messages
from prunescope.report.sizes import GIB

# A message's key and each model's figure, with how it is written; None where there is no ratio.
Row: TypeAlias = tuple[str, "list[float | None]", "str | None"]


def print_evaluations(
    found: Sequence[Evaluation], asked: Asked, device: str, screen: Screen, say: Messages
) -> None:
    """All that was measured of one model, or of an original and a pruned one."""
    perplexities = [one.perplexity for one in found if one.perplexity]
    if perplexities and asked.documents:
        _perplexity(found, perplexities, asked, device, screen, say)
    if asked.harness:
        _tasks(found, screen, say)
    speeds = [one.speed for one in found if one.speed]
    if speeds:
        _speed(found, speeds, asked, device, screen, say)
    if asked.prompts:
        _texts(found, asked, screen, say)


def _perplexity(
    found: Sequence[Evaluation],
    measured: Sequence[TextPerplexity],
    asked: Asked,
    device: str,
    screen: Screen,
    say: Messages,
) -> None:
    name = asked.documents.name if asked.documents else ""
    sliding = asked.sliding
    screen.section(
        say(
            "eval_perplexity_title",
            text=say("embedded_text") if name == "embedded" else name,
            window=sliding.length,
            stride=sliding.stride,
            device=device,
        )
    )
    rows: list[Row] = [
        ("eval_perplexity", [one.value for one in measured], ",.2f"),
        ("cost_parameters", [one.parameters for one in found], ",.0f"),
        ("eval_scored", [one.scored for one in measured], None),
        ("eval_windows", [one.windows for one in measured], None),
        ("eval_scored_speed", [one.tokens_per_second for one in measured], ",.1f"),
    ]
    _table(rows, screen, say)
    for one in found:
        if one.is_streamed:
            screen.line(say("eval_streamed", path=printable(one.path)), "dim")
    screen.line()


def _tasks(found: Sequence[Evaluation], screen: Screen, say: Messages) -> None:
    screen.section(say("eval_tasks_title"))
    heads = _heads(len(found), say)[1:]
    if len(found) == 2:
        heads[-1] = say("eval_difference")
    rows = []
    for place, score in enumerate(found[0].scores):
        scores = [one.scores[place] for one in found]
        cells = [
            f"{one.value:.4f}" + (f" ± {one.error:.4f}" if one.error is not None else "")
            for one in scores
        ]
        if len(scores) == 2:
            cells.append(f"{scores[1].value - scores[0].value:+.4f}")
        rows.append([f"{score.task} {score.metric}", *cells])
    right: list[Justify] = ["right"] * len(heads)
    screen.table([say("eval_tasks_title"), *heads], rows, ["left", *right])
    screen.line()


def _speed(
    found: Sequence[Evaluation],
    speeds: Sequence[Speed],
    asked: Asked,
    device: str,
    screen: Screen,
    say: Messages,
) -> None:
    load = speeds[0].load
    screen.section(
        say(
            "eval_speed_title",
            batch=load.batch,
            context=load.context,
            new=load.new_tokens,
            repeats=load.repeats,
            device=device,
        )
    )
    roofs = [one.roofline for one in found if one.roofline]
    rows: list[Row] = [("eval_prefill", [median(one.prefill) for one in speeds], ",.1f")]
    rows += [("eval_prefill_bound", [roof.prefill for roof in roofs], ",.1f")] if roofs else []
    rows += [("eval_decode", [median(one.decode) for one in speeds], ",.1f")]
    rows += [("eval_decode_bound", [roof.decode for roof in roofs], ",.1f")] if roofs else []
    rows += [
        ("eval_first", [1000 * one.time_to_first for one in speeds], ",.1f"),
        ("eval_memory", [one.memory and one.memory / GIB for one in speeds], ",.2f"),
    ]
    spread = {
        "eval_prefill": [_range(one.prefill) for one in speeds],
        "eval_decode": [_range(one.decode) for one in speeds],
    }
    _table(rows, screen, say, spread)
    screen.line(say("eval_speed_note"), "dim")
    if roofs and asked.peaks:
        screen.line(say("eval_bound_note", title=asked.peaks.title), "dim")
    screen.line()


def _range(runs: Sequence[float]) -> str:
    return f"{min(runs):,.1f} - {max(runs):,.1f}"


def _table(
    rows: Sequence[Row], screen: Screen, say: Messages, spread: dict[str, list[str]] | None = None
) -> None:
    count = len(rows[0][1])
    lines = []
    for key, figures, form in rows:
        cells = ["-" if each is None else format(each, form or ",.0f") for each in figures]
        if count == 2:
            cells.append(_ratio(figures) if form else "")
        lines.append([say(key), *cells])
        if spread and key in spread:
            lines.append([say("eval_range"), *spread[key], *[""] * (count - 1)])
    heads = _heads(count, say)
    right: list[Justify] = ["right"] * (len(heads) - 1)
    screen.table(heads, lines, ["left", *right])


def _heads(count: int, say: Messages) -> list[str]:
    keys = ["cost_model"] if count == 1 else ["cost_original", "cost_pruned", "cost_ratio"]
    return [say(key) for key in ("cost_figure", *keys)]


def _ratio(figures: Sequence[float | None]) -> str:
    before, after = figures
    return f"{after / before:.4f}" if before and after is not None else "-"


def _texts(found: Sequence[Evaluation], asked: Asked, screen: Screen, say: Messages) -> None:
    screen.section(say("eval_texts_title", new=asked.new_tokens))
    names = _heads(len(found), say)[1 : 1 + len(found)]
    for place in range(len(asked.prompts)):
        for name, one in zip(names, found, strict=True):
            lines = (printable(line, limit=2000) for line in one.texts[place].splitlines())
            screen.line(f"{name}> " + "\n  ".join(lines))
        screen.line()
