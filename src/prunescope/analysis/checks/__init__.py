"""Is a pruned model what it should be? One module per kind of check."""

from prunescope.analysis.checks.check import Check, Finding, Group, Source, Verdict, finding, judged

__all__ = ["Check", "Finding", "Group", "Source", "Verdict", "finding", "judged"]
