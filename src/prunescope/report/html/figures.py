"""What stands at the top of the page? Headline figures of each model, in words and digits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prunescope.analysis.cost_result import Cost
from prunescope.analysis.counts import Counts
from prunescope.analysis.evaluation_file import Evaluated
from prunescope.analysis.overview import Overview, PrunedOverview
from prunescope.analysis.verify import Verification
from prunescope.report.html.said import Said, said
from prunescope.report.sizes import GIB


@dataclass(frozen=True, slots=True)
class Card:
    """One headline: a title, the figure, and what it was before or how far it fell."""

    title: Said
    figure: Said | str
    note: Said | str
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """One model's row where several are compared; `-` where nobody measured."""

    name: str
    parameters: str
    nbytes: str
    sparsity: str
    perplexity: str
    kv_cache: str
    verdict: Said | None
    mark: str
    is_best: bool


def cards(found: Overview) -> list[Card]:
    """The headlines of the only pruned model."""
    (one,) = found.models
    parameters, nbytes = one.sizes.parameters, one.sizes.weight_bytes
    whole = one.comparison.parameters
    _, mark = verdict_of(one.verification)
    dealt = [
        Card(
            said("size_parameters"), f"{parameters.pruned:,}", _before(f"{parameters.original:,}")
        ),
        Card(said("size_weights"), gigabytes(nbytes.pruned), _before(gigabytes(nbytes.original))),
        Card(said("sparsity"), f"{whole.sparsity:.4f}", _share(whole)),
    ]
    if one.cost is not None:
        title, before = said("cost_kv_token"), _before(_kv_cache(found.original_cost))
        dealt.append(Card(title, _kv_cache(one.cost), before))
    dealt += _measured(found.original_evaluation, one.evaluation)
    checks = one.verification
    failed = said("report_failed", n=len(checks.failed))
    dealt.append(Card(said("verify_title"), failed, said("report_noted", n=_noted(checks)), mark))
    return dealt


def _measured(before: Evaluated | None, after: Evaluated | None) -> list[Card]:
    dealt = []
    for key, name, form in (
        ("report_perplexity", "perplexity", ",.2f"),
        ("report_decode", "decode", ",.1f"),
    ):
        old, new = (getattr(one, name) if one else None for one in (before, after))
        if new is not None:
            note = "" if old is None else _before(format(old, form))
            dealt.append(Card(said(key), format(new, form), note))
    return dealt


def summaries(found: Overview, names: Sequence[str]) -> list[Summary]:
    """A row for the original and each pruned model."""
    first = _summary(
        names[0],
        Counts(found.original_size.parameters, found.original_size.parameters),
        found.original_size.weight_bytes,
        found.original_evaluation,
        _kv_cache(found.original_cost),
        None,
        -1 in found.best,
    )
    return [first] + [
        _summary(
            name,
            one.comparison.parameters,
            one.sizes.pruned.weight_bytes,
            one.evaluation,
            _kv_cache(one.cost),
            one,
            number in found.best,
        )
        for number, (one, name) in enumerate(zip(found.models, names[1:], strict=True))
    ]


def _kv_cache(cost: Cost | None) -> str:
    return "-" if cost is None else f"{cost.kv_bytes_per_token:,}"


def _summary(
    name: str,
    counts: Counts,
    nbytes: int,
    evaluation: Evaluated | None,
    kv_cache: str,
    pruned: PrunedOverview | None,
    is_best: bool,
) -> Summary:
    verdict, mark = verdict_of(pruned.verification) if pruned else (None, "")
    return Summary(
        name,
        f"{counts.pruned:,}",
        gigabytes(nbytes),
        f"{counts.sparsity:.4f}",
        number(evaluation.perplexity if evaluation else None, ",.2f"),
        kv_cache,
        verdict,
        mark,
        is_best,
    )


def verdict_of(found: Verification) -> tuple[Said, str]:
    """How the checks ended, and the worst verdict among those that say anything."""
    if found.failed:
        return said("report_checks_failed", n=len(found.failed)), "fail"
    noted = _noted(found)
    if noted:
        return said("report_checks_noted", n=noted), "warn"
    return said("report_checks_good"), "pass"


def _noted(found: Verification) -> int:
    return sum(check.verdict == "warn" for check in found.checks)


def gigabytes(nbytes: float | None) -> str:
    """Bytes in the unit of the size check; `-` where nobody measured."""
    return "-" if nbytes is None else f"{nbytes / GIB:.2f} GB"


def number(value: float | None, form: str) -> str:
    """A measured figure; `-` where nobody measured."""
    return "-" if value is None else format(value, form)


def _before(text: str) -> Said:
    return said("report_before", text=text)


def _share(counts: Counts) -> Said:
    return said("report_removed", n=counts.removed, p=100 * counts.sparsity)
