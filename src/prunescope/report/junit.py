"""What does a CI server show of a verification? JUnit's XML, as its readers understand it.

There is no standard; this is the part of https://github.com/testmoapp/junitxml that Jenkins, GitLab
and the GitHub actions agree on.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as Xml

from prunescope.analysis.checks import Check
from prunescope.analysis.verify import Verification
from prunescope.atomic import replacing
from prunescope.report.layers import layer_ranges
from prunescope.report.messages import Messages
from prunescope.report.verify import sentence


def write_junit(found: Verification, path: Path, say: Messages) -> None:
    """Write one test case for each check: failed, skipped, or passed with its remarks.

    Raises:
        PrunescopeError: `path` cannot be written.
    """
    suite = Xml.Element(
        "testsuite",
        name="prunescope verify",
        tests=str(len(found.checks)),
        failures=str(len(found.failed)),
        errors="0",
        skipped=str(sum(check.verdict == "skip" for check in found.checks)),
    )
    for check in found.checks:
        _case(suite, check, say)
    root = Xml.Element("testsuites")
    root.append(suite)
    Xml.indent(root)
    with replacing(path) as temporary:
        Xml.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)


def _case(suite: Xml.Element, check: Check, say: Messages) -> None:
    case = Xml.SubElement(
        suite, "testcase", classname=f"prunescope.verify.{check.group}", name=check.name
    )
    lines = []
    for one in check.findings:
        where = f"[{layer_ranges(one.layers)}] " if one.layers else ""
        lines.append(f"{say(f'verdict_{one.verdict}')}: {where}{sentence(one, say)}")
    text = "\n".join(lines)
    if check.verdict == "fail":
        Xml.SubElement(case, "failure", message=lines[0], type=check.group).text = text
    elif check.verdict == "skip":
        Xml.SubElement(case, "skipped", message=lines[0])
    elif text:
        Xml.SubElement(case, "system-out").text = text
