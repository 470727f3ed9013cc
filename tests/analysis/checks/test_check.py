"""Equal findings of many layers are one, and many are merged in no time."""

from __future__ import annotations

from time import process_time

from prunescope.analysis.checks.check import Finding, finding, judged


def test_equal_findings_are_one_with_all_layers_in_order() -> None:
    found = judged(
        "plan",
        "x",
        [
            finding("warn", "odd", 3, key="a"),
            finding("pass", "odd", 2, key="a"),
            finding("warn", "odd", 1, key="a"),
            finding("warn", "odd", 3, key="a"),
            finding("warn", "odd", key="b"),
        ],
    )

    assert found.verdict == "warn"
    assert found.findings == (
        Finding("warn", "odd", {"key": "a"}, (1, 3)),
        Finding("pass", "odd", {"key": "a"}, (2,)),
        Finding("warn", "odd", {"key": "b"}),
    )


def test_a_hundred_thousand_layers_are_merged_in_seconds() -> None:
    begun = process_time()
    found = judged("plan", "x", (finding("fail", "missing", n) for n in range(100_000)))

    assert found.findings[0].layers == tuple(range(100_000))
    # One after the other into a sorted list they would take many minutes.
    assert process_time() - begun < 10
