"""A document in two languages says the same in both: headings, code, figures, links to its twin."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.scripts import ROOT

# English, Chinese. Which of the two has the plain name is history.
TWINS = {
    english: chinese
    for plain in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for english, chinese in (
        (plain, plain.with_suffix(".zh-CN.md")),
        (plain.with_suffix(".en.md"), plain),
    )
    if english.is_file() and chinese.is_file()
}
# Figures that one language writes as words, or by the myriad: "2.1 million" is 210 万.
ONE_SIDED = {
    "README.md": {"2.1", "210"},
    "PRUNING_ANALYSIS_GUIDE.en.md": {"111"},
}
pytestmark = pytest.mark.parametrize("english", TWINS, ids=lambda path: path.name)


def code(path: Path) -> list[tuple[str, str]]:
    """Language and content of each block."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def prose(path: Path) -> str:
    return re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def wordless(block: str) -> str:
    """Code without what is said in a language: comments, what is printed, and the option for it."""
    block = re.sub(r"\s*# .*", "", block)
    block = re.sub(r'f"[^"{]*', 'f"', block)
    return re.sub(r" --lang[ =](en|zh)", "", block)


def test_each_links_to_both_at_its_top(english: Path) -> None:
    links = f"[English]({english.name}) · [简体中文]({TWINS[english].name})"
    for path in (english, TWINS[english]):
        assert path.read_text("utf-8").splitlines()[2] == links


def test_headings_and_rows_are_as_many(english: Path) -> None:
    def outline(path: Path) -> list[str]:
        # The level of a heading, a row with its columns, an item of a list; in order.
        marks = re.findall(r"^(#+ |\|.*\||- |\d+\. )", prose(path), re.MULTILINE)
        return [f"|{mark.count(' | ')}" if mark[0] == "|" else mark for mark in marks]

    assert outline(english) == outline(TWINS[english])


def test_code_is_the_same(english: Path) -> None:
    ours, theirs = code(english), code(TWINS[english])
    assert [language for language, _ in ours] == [language for language, _ in theirs]
    for (language, one), (_, other) in zip(ours, theirs, strict=True):
        # What is printed is in the reader's language, and tested as output.
        if language != "text":
            assert wordless(one) == wordless(other)


def test_figures_are_the_same(english: Path) -> None:
    def figures(path: Path) -> set[str]:
        # One digit alone may well be a word in the other language.
        return set(re.findall(r"\d[\d,.]*\d", prose(path)))

    differing = figures(english) ^ figures(TWINS[english])
    assert differing == ONE_SIDED.get(english.name, set())


def test_links_lead_to_the_same_places(english: Path) -> None:
    def places(path: Path) -> list[str]:
        targets = re.findall(r"\]\(([^)\s#]+)", prose(path))
        # Each page links to the twin in its own language where there is one.
        return sorted(re.sub(r"(\.zh-CN|\.en)?\.md$", "", target) for target in targets)

    assert places(english) == places(TWINS[english])


def test_the_chinese_page_sends_nobody_to_an_english_one(english: Path) -> None:
    chinese = TWINS[english]
    text = chinese.read_text("utf-8").partition("\n## ")[2]
    targets = re.findall(r"\]\(([^)\s#]+\.md)", text)
    assert {(chinese.parent / target).resolve() for target in targets} & set(TWINS) == set()
