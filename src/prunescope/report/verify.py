"""How does a verification read? A table for each kind of check, and one line that sums it up."""

from __future__ import annotations

from prunescope.analysis.checks import Check, Finding
from prunescope.analysis.verify import Verification
from prunescope.errors import printable
from prunescope.report.console import Screen
from prunescope.report.layers import layer_ranges
from prunescope.report.messages import Messages

GROUPS = ("plan", "coherence", "weights", "loading")
# A stranger's file may have a hundred thousand tensors too many; --json has them all.
MOST = 20


def print_verification(found: Verification, screen: Screen, say: Messages) -> None:
    """Every check with its verdict, what was found and in which layers."""
    screen.section(say("verify_title"))
    if found.original is not None:
        path = printable(found.original.checkpoint.path)
        screen.line(say("verify_original", path=path))
    screen.line(say("verify_pruned", path=printable(found.pruned.checkpoint.path)))
    for group in GROUPS:
        screen.line()
        screen.line(say(f"verify_{group}"), "bold")
        headers = [say(f"verify_{word}") for word in ("verdict", "check", "layers", "found")]
        rows = [row for check in found.checks if check.group == group for row in _rows(check, say)]
        screen.table(headers, rows, ["left"] * len(headers))
    screen.line()
    print_verdict(found, screen, say)


def sentence(finding: Finding, say: Messages) -> str:
    """What was found, in words; names in it may come from a stranger's file."""
    values = {
        key: printable(value) if isinstance(value, str) else value
        for key, value in finding.values.items()
    }
    return say(f"why_{finding.code}", **values)


def title(check: Check, say: Messages) -> str:
    """The check's question, with where the expectation comes from."""
    text = say(f"check_{check.name}")
    return text if check.source is None else f"{text} ({say(f'source_{check.source}')})"


def _rows(check: Check, say: Messages) -> list[list[str]]:
    first = [say(f"verdict_{check.verdict}"), title(check, say)]
    if not check.findings:
        return [[*first, "", ""]]
    rows = [
        [*(first if number == 0 else ["", ""]), layer_ranges(one.layers), sentence(one, say)]
        for number, one in enumerate(check.findings[:MOST])
    ]
    if len(check.findings) > MOST:
        rows.append(["", "", "", say("verify_more", n=len(check.findings) - MOST)])
    return rows


def print_verdict(found: Verification, screen: Screen, say: Messages) -> None:
    """One line that sums the checks up."""
    counts = {
        verdict: sum(check.verdict == verdict for check in found.checks)
        for verdict in ("pass", "warn", "skip")
    }
    if found.failed:
        names = ", ".join(say(f"check_{check.name}") for check in found.failed)
        screen.line(say("verify_failed", n=len(found.failed), names=names), "bold red")
        return
    line = say("verify_good", passed=counts["pass"], warned=counts["warn"], skipped=counts["skip"])
    screen.line(line, "yellow" if counts["warn"] else "green")
