"""A terminal that is too narrow: columns stay columns, and figures stay whole."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from prunescope.report.console import Justify, Screen
from prunescope.report.fitting import column_widths, fitted

HEADERS = ["模型", "Weight files", "参数量", "Found"]
JUSTIFY: list[Justify] = ["left", "right", "right", "left"]
ROWS = [
    ["/newdata/LLMs/Llama-3-8B-Instruct", "14.96 GB", "8,030,261,248", "查询头 heads 384, 576"],
    ["模型/剪枝后", "12.53 GB", "6,727,929,856", "-"],
]


def lines_at(width: int, rows: list[list[str]], justify: list[Justify] = JUSTIFY) -> list[str]:
    out = StringIO()
    console = Console(file=out, width=width, markup=False, highlight=False, emoji=False)
    headers = HEADERS if justify is JUSTIFY else [""] * len(justify)
    console.print(fitted([headers, *rows], justify, width))
    return out.getvalue().splitlines()


def seen(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    """What a terminal with this environment gets."""

    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    out = Terminal()
    screen = Screen(out)
    screen.section("Title")
    screen.table(HEADERS, ROWS, JUSTIFY)
    screen.line("ok", "green")
    return out.getvalue()


def test_a_wide_terminal_shows_each_row_on_a_line_of_its_own() -> None:
    assert [line.rstrip() for line in lines_at(120, ROWS)] == [
        "模型                               Weight files         参数量  Found",
        "/newdata/LLMs/Llama-3-8B-Instruct      14.96 GB  8,030,261,248  查询头 heads 384, 576",
        "模型/剪枝后                            12.53 GB  6,727,929,856  -",
    ]


def test_a_narrow_one_wraps_words_and_folds_paths_but_no_figures() -> None:
    lines = lines_at(60, ROWS)

    assert all(cell_len(line) <= 60 for line in lines)
    text = "\n".join(lines)
    for figure in ("14.96 GB", "8,030,261,248", "12.53 GB", "6,727,929,856"):
        assert figure in text
    # Nothing of the path is lost: its pieces stand below each other, in the first column.
    width = max(cell_len(line[: line.index("14.96")].rstrip()) for line in lines if "14.96" in line)
    pieces = [line[:width].strip() for line in lines[1:] if "模型" not in line]
    assert "".join(pieces).startswith("/newdata/LLMs/Llama-3-8B-Instruct")


def test_a_path_is_folded_only_once_headings_have_wrapped() -> None:
    """17 + 12 + 12 cells and two gaps are 45. Nine less: five and four, from columns in turn."""
    rows = [["prune_log/depth24", "0.42 GB", "0.43 GB"]]
    headed = [["Model", "Weight files", "Whole folder"], *rows]
    assert column_widths(headed, ["left", "right", "right"], 36) == [17, 7, 8]
    # A path is folded before a figure is cut: no more than 14 cells of it are needed.
    assert column_widths(headed, ["left", "right", "right"], 32) == [14, 7, 7]


def test_columns_that_have_no_room_go_below_with_the_first_beside_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Paths at 14 cells, 8, 13, and `Found` at 6 are 47 with their gaps: one too many for 46."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", seen(monkeypatch, COLUMNS="47"))
    assert plain.count("模型  ") == 1
    plain = re.sub(r"\x1b\[[\d;]*m", "", seen(monkeypatch, COLUMNS="46"))
    first, second = plain.split("\n\n")
    assert "8,030,261,248" in first
    assert "Found" not in first
    assert second.split("\n")[0].split() == ["模型", "Found"]
    assert "…" not in plain


@pytest.mark.parametrize("width", [8, 20, 40])
def test_figures_that_have_no_room_end_in_an_ellipsis(width: int) -> None:
    figures = [["8,030,261,248", "6,727,929,856", "1,302,331,392"]]
    lines = lines_at(width, figures, ["right"] * 3)

    assert all(cell_len(line) <= width for line in lines)
    assert "…" in "".join(lines)


CELLS = st.text(st.sampled_from("ab ,0123456789层头剪"), max_size=24)


@given(st.lists(st.lists(CELLS, min_size=4, max_size=4), max_size=4), st.integers(48, 120))
def test_no_table_is_wider_than_the_terminal(rows: list[list[str]], width: int) -> None:
    assert all(cell_len(line) <= width for line in lines_at(width, rows))


def test_a_terminal_sees_colour_unless_it_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    coloured = seen(monkeypatch, COLUMNS="80")
    assert "\x1b[32mok\x1b[0m" in coloured

    # NO_COLOR (https://no-color.org) is about colour; bold is none.
    assert not re.search(r"\x1b\[[\d;]*3\d", seen(monkeypatch, COLUMNS="80", NO_COLOR="1"))


def test_a_pipe_may_be_told_to_have_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = StringIO()
    Screen(out).line("ok", "green")
    assert out.getvalue() == "\x1b[32mok\x1b[0m\n"


def test_the_rules_of_a_title_are_no_wider_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = re.sub(r"\x1b\[[\d;]*m", "", seen(monkeypatch, COLUMNS="50"))
    assert plain.splitlines()[:3] == ["=" * 50, "Title", "=" * 50]
    assert all(cell_len(line) <= 50 for line in plain.splitlines())
