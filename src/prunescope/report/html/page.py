"""What goes on the page? Every section as plain data, bounded, for the template to lay out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from prunescope.analysis.evaluation_file import Evaluated
from prunescope.analysis.overview import Overview, PrunedOverview
from prunescope.analysis.provenance import FileFact
from prunescope.analysis.trace.results import Trace
from prunescope.analysis.verify import Verification
from prunescope.errors import printable
from prunescope.report.cost import cost_figures
from prunescope.report.html.charts import MAX_LAYERS, chart_data, component_title
from prunescope.report.html.figures import (
    Card,
    Summary,
    cards,
    gigabytes,
    summaries,
    verdict_of,
)
from prunescope.report.html.names import short_names, shown
from prunescope.report.html.rows import Row, table_rows
from prunescope.report.html.said import Said, both, printed, said
from prunescope.report.layers import layer_ranges
from prunescope.report.trace_findings import print_findings, print_verdict
from prunescope.report.verify import GROUPS, sentence, title

# A stranger's checkpoint may have a hundred thousand tensors too many: this is said of each check.
# Of several models fewer, so that the page stays small.
MAX_FINDINGS, MAX_LINES = 12, 24
_LONGEST = 240
MAX_FILES = 100
_SIGNS = {"✅": "pass", "⚠️": "warn", "❌": "fail"}


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One finding of a check; `title` and `verdict` are None below the check's first line."""

    mark: str
    verdict: Said | None
    title: Said | None
    layers: str
    found: Said | None


@dataclass(frozen=True, slots=True)
class Section:
    """One pruned model."""

    name: str
    path: str
    summary: Said
    mark: str
    checks: list[tuple[Said, list[CheckLine]]]
    sizes: list[tuple[Said, str, str, str, str, str, str]]
    costs: list[tuple[Said, list[str]]]
    kept: Said
    trace: list[tuple[str, Said]]
    has_heads: bool


@dataclass(frozen=True, slots=True)
class Page:
    """The whole report.

    Attributes:
        cards: headlines, of a single pruned model.
        summaries: the original's row and the models', of several.
        left_out: rows of `rows` that there is no room for.
        charts: what scripts draw.
    """

    original: str
    names: list[str]
    cards: list[Card]
    summaries: list[Summary]
    evaluations: list[tuple[str, Evaluated]]
    unmatched: list[str]
    has_front: bool
    undrawn: int
    sections: list[Section]
    workload: Said
    rows: list[Row]
    modules: list[str]
    left_out: int
    files: list[FileFact]
    files_left_out: int
    command: str
    versions: list[tuple[str, str]]
    charts: dict[str, Any]


def page(
    found: Overview,
    files: Sequence[FileFact],
    unmatched: Sequence[str],
    command: str,
    versions: Sequence[tuple[str, str]],
) -> Page:
    """Lay an overview out.

    Args:
        files: provenance of all models.
        unmatched: models that were measured, but are none of these.
        command: as it can be typed again.
        versions: of what made the report.
    """
    names = short_names([found.original.path, *(one.path for one in found.models)])
    rows, left_out = table_rows(found, names)
    charts = chart_data(found, names)
    measured = [(names[0], found.original_evaluation)]
    measured += [(n, m.evaluation) for n, m in zip(names[1:], found.models, strict=True)]
    workload = found.workload
    layers = max(len(one.comparison.layers) for one in found.models)
    return Page(
        shown(found.original.path),
        names,
        cards(found) if len(found.models) == 1 else [],
        summaries(found, names) if len(found.models) > 1 else [],
        [(name, one) for name, one in measured if one is not None],
        [shown(path) for path in unmatched[:MAX_FILES]],
        bool(charts["front"]),
        max(0, layers - MAX_LAYERS),
        [_section(found, one, n) for one, n in zip(found.models, names[1:], strict=True)],
        said("cost_title", context=workload.context, batch=workload.batch, kv=workload.kv_dtype),
        rows,
        sorted({row.module for row in rows}),
        left_out,
        list(files[:MAX_FILES]),
        max(0, len(files) - MAX_FILES),
        command,
        list(versions),
        charts,
    )


def _section(found: Overview, one: PrunedOverview, name: str) -> Section:
    summary, mark = verdict_of(one.verification)
    source = one.kept.source
    most = max(1, MAX_FINDINGS // len(found.models))
    return Section(
        name,
        shown(one.path),
        summary,
        mark,
        [(said(f"verify_{group}"), _checks(one.verification, group, most)) for group in GROUPS],
        [
            (
                component_title(part.component),
                part.dtype,
                f"{part.parameters.original:,}",
                f"{part.parameters.pruned:,}",
                gigabytes(part.nbytes.original),
                gigabytes(part.nbytes.pruned),
                f"{part.nbytes.retention:.4f}" if part.nbytes.original else "-",
            )
            for part in one.parts
        ],
        _costs(found, one),
        said("report_kept_unknown") if source is None else said("report_kept_by", source=source),
        _trace(one.trace, max(2, MAX_LINES // len(found.models) // 2)),
        bool(one.kept.units),
    )


def _costs(found: Overview, one: PrunedOverview) -> list[tuple[Said, list[str]]]:
    costs = [cost for cost in (found.original_cost, one.cost) if cost is not None]
    figures = cost_figures(costs, found.device) if len(costs) == 2 else []
    return [(said(key), cells) for key, cells in figures]


def _checks(found: Verification, group: str, most: int) -> list[CheckLine]:
    lines = []
    for check in (check for check in found.checks if check.group == group):
        verdict, asked = said(f"verdict_{check.verdict}"), both(partial(title, check))
        findings = check.findings[:most]
        if not findings:
            lines.append(CheckLine(check.verdict, verdict, asked, "", None))
        for place, one in enumerate(findings):
            words, layers = _cut(both(partial(sentence, one))), shown(layer_ranges(one.layers))
            if place == 0:
                lines.append(CheckLine(check.verdict, verdict, asked, layers, words))
            else:
                lines.append(CheckLine(one.verdict, None, None, layers, words))
        if len(check.findings) > most:
            more = said("verify_more", n=len(check.findings) - most)
            lines.append(CheckLine(check.verdict, None, None, "", more))
    return lines


def _cut(words: Said) -> Said:
    return Said(printable(words.zh, _LONGEST), printable(words.en, _LONGEST))


def _trace(found: Trace | None, most: int) -> list[tuple[str, Said]]:
    """What the report for terminals says; its signs in colour become the page's marks."""
    if found is None:
        return []
    lines = [
        *printed(lambda screen, say: print_findings(found, screen, say), most),
        *printed(lambda screen, say: print_verdict(found, screen, say), most),
    ]
    marked = []
    for line in lines:
        sign = next((sign for sign in _SIGNS if line.en.startswith(sign)), "")
        bare = Said(line.zh.removeprefix(sign).strip(), line.en.removeprefix(sign).strip())
        marked.append((_SIGNS.get(sign, ""), _cut(bare)))
    return marked
