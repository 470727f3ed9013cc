"""Markdown and LaTeX, read back by other people's parsers: what was said is what is shown."""

from __future__ import annotations

from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pylatexenc.latex2text import LatexNodes2Text

from prunescope.report.console import Justify, Screen
from prunescope.report.latex import MOST_ROWS, Latex
from prunescope.report.latex_text import escape as latex_escape
from prunescope.report.markdown import Markdown

HOSTILE = [
    "model_norm_x.weight", r"a\b", r"a\|b", "a|b", "100% of $5 & #1", "{x}^2 ~ `c`", "**bold**",
    "<script>alert(1)</script>", "[link](http://x.org)", "![i](x)", "&amp;", "https://x.org/y",
    "# title", "- item", "+ item", "1. one", "2) two", "= =", "> quote", "[1] first", "*", "||",
    "\\", "---", "a -- b", "\\input{/etc/passwd}", "\\\\[2em]", "www.example.org", "~~no~~",
]  # fmt: skip
# Words between single spaces: media keep text to one line, and names come through `printable`.
TEXTS = st.text(
    st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=80
).map(lambda text: " ".join(text.split()))  # fmt: skip
LEFT: Justify = "left"


def markdown(*tables: list[list[str]], lines: tuple[str, ...] = ()) -> list[Token]:
    out = StringIO()
    screen = Markdown(out)
    for line in lines:
        screen.line(line)
    for rows in tables:
        screen.table(rows[0], rows[1:], [LEFT] * len(rows[0]))
    # GitHub's: tables, strikethrough, addresses become links.
    parser = MarkdownIt("gfm-like", {"linkify": False})
    return parser.parse(out.getvalue())


def shown(tokens: list[Token]) -> list[str]:
    """The text of each paragraph or cell, provided that nothing in it is marked up."""
    texts = []
    for token in tokens:
        if token.type == "inline":
            children = token.children or []
            assert {child.type for child in children} <= {"text", "text_special"}, token.content
            texts.append("".join(child.content for child in children))
    return texts


@given(st.lists(TEXTS, min_size=2, max_size=2), TEXTS)
def test_any_text_is_shown_to_the_letter_in_markdown(cells: list[str], line: str) -> None:
    tokens = markdown([["A", "B"], cells], lines=(line,))

    assert shown(tokens) == [*filter(None, [line]), "A", "B", *cells]
    kinds = {token.type for token in tokens if token.level == 0}
    assert kinds <= {"paragraph_open", "paragraph_close", "inline", "table_open", "table_close"}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_mean_nothing_in_markdown(text: str) -> None:
    assert (
        shown(markdown([["A", "B"], [text, text]], lines=(text,))) == [text, "A", "B"] + [text] * 2
    )


def read(latex: str) -> str:
    """What LaTeX shows; this reader has another circumflex, and knows `''` as a quotation mark."""
    text = LatexNodes2Text(math_mode="text", keep_comments=True).latex_to_text(latex)
    return text.replace("\N{MODIFIER LETTER CIRCUMFLEX ACCENT}", "^").replace("”", "''")


@given(TEXTS)
def test_any_text_is_shown_to_the_letter_in_latex(text: str) -> None:
    assert read(latex_escape(text)) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_mean_nothing_in_latex(text: str) -> None:
    escaped = latex_escape(text)

    assert read(escaped) == text
    # A row that began with these would be the option, or the star, of the row before.
    assert not escaped.startswith(("[", "*"))
    assert "--" not in escaped


def say_everything(screen: Screen) -> None:
    screen.section("Sizes")
    screen.table(["Model", "Weights (GB)"], [["a_b", "1.50"], ["c|d", "0.25"]], ["left", "right"])
    screen.line()
    screen.section("Modules")
    screen.line("📊 Q", "bold cyan")
    screen.table(["Layer", "Shape"], [["0-2 ×3", "8 × 8"]], ["right", "left"])
    screen.line("   Layers: 0-2", "dim")
    screen.line("❌ 5% differ", "bold red")


def test_markdown_has_headings_tables_and_paragraphs() -> None:
    out = StringIO()
    say_everything(Markdown(out))

    assert out.getvalue() == (
        "## Sizes\n"
        "\n"
        "| Model | Weights (GB) |\n"
        "| --- | ---: |\n"
        "| a\\_b | 1.50 |\n"
        "| c\\|d | 0.25 |\n"
        "\n"
        "## Modules\n"
        "\n"
        "**📊 Q**\n"
        "\n"
        "| Layer | Shape |\n"
        "| ---: | --- |\n"
        "| 0-2 ×3 | 8 × 8 |\n"
        "\n"
        "Layers: 0-2\n"
        "\n"
        "**❌ 5% differ**\n"
    )


def test_latex_has_captioned_booktabs_tables() -> None:
    out = StringIO()
    say_everything(Latex(out))

    assert out.getvalue().partition("\n\n")[2] == (
        "\\begin{table}\n\\centering\n\\caption{Sizes}\n\\begin{tabular}{lr}\n\\toprule\n"
        "Model & Weights (GB) \\\\\n\\midrule\n"
        "a\\_b & 1.50 \\\\\n"
        "c$|$d & 0.25 \\\\\n"
        "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
        "\n\\paragraph{Modules}\n\n"
        "\\begin{table}\n\\centering\n\\caption{Q}\n\\begin{tabular}{rl}\n\\toprule\n"
        "Layer & Shape \\\\\n\\midrule\n"
        "0-2 $\\times$3 & 8 $\\times$ 8 \\\\\n"
        "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
        "\nLayers: 0-2\n"
        "\n\\textbf{$\\times$ 5\\% differ}\n"
    )


def test_what_no_page_holds_is_a_longtable_and_long_cells_wrap() -> None:
    out = StringIO()
    rows = [[str(n), "word " * 20] for n in range(MOST_ROWS + 1)]
    screen = Latex(out)
    screen.section("All")
    screen.table(["N", "Text"], rows, ["right", "left"])

    text = out.getvalue()
    assert r"\begin{longtable}{rp{0.50\linewidth}}" in text
    assert r"\caption{All} \\" in text
    assert r"\endhead" in text
    assert r"\begin{table}" not in text
