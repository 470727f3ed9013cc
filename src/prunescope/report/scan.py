"""How does a scan of pickles read? One table a file, the dangerous first, and a verdict."""

from __future__ import annotations

from prunescope.analysis.scan import FileScan, Scan
from prunescope.checkpoint.pickle_risks import Risk
from prunescope.errors import printable
from prunescope.report.console import Screen
from prunescope.report.messages import Messages

_RISKS: dict[Risk, str] = {
    "dangerous": "scan_dangerous",
    "code": "scan_code",
    "safe": "scan_safe",
}
_MAX_PACKAGES = 10


def print_scan(found: Scan, screen: Screen, say: Messages) -> None:
    """Each file with what loading it would import and call."""
    screen.section(say("scan_title"))
    for number, scan in enumerate(found.files):
        if number:
            screen.line()
        screen.line(f"{printable(scan.path)} ({scan.format or '?'})", "bold")
        _print_findings(scan, screen, say)
        _print_verdict(scan, screen, say)


def _print_findings(scan: FileScan, screen: Screen, say: Messages) -> None:
    if not scan.findings:
        return
    headers = [say("scan_risk"), say("scan_global"), say("scan_named"), say("scan_called")]
    rows = [
        [
            say(_RISKS[f.risk]),
            printable(str(f.found)),
            f"{f.named:,}",
            f"{f.called:,}" if f.called else "-",
        ]
        for f in scan.findings
    ]
    screen.table(headers, rows, ["left", "left", "right", "right"])


def _print_verdict(scan: FileScan, screen: Screen, say: Messages) -> None:
    dangerous, code = scan.of("dangerous"), scan.of("code")
    if dangerous:
        screen.line(say("scan_verdict_dangerous", n=len(dangerous)), "bold red")
    elif code:
        packages = sorted({f.found.module.partition(".")[0] for f in code})
        more = ", …" if len(packages) > _MAX_PACKAGES else ""
        names = printable(", ".join(packages[:_MAX_PACKAGES]) + more)
        screen.line(say("scan_verdict_code", packages=names), "yellow")
    elif scan.pickles and scan.error is None:
        screen.line(say("scan_verdict_safe"), "green")
    elif scan.error is None:
        screen.line(say("scan_verdict_none"), "green")
    if scan.error is not None:
        screen.line(say("scan_incomplete", text=printable(scan.error)), "red")
