"""LaTeX that compiles: any name of a file, in any script, and tables as wide as they come."""

from __future__ import annotations

import shutil
import subprocess
from io import StringIO
from pathlib import Path

import pytest

from prunescope.report.console import Justify
from prunescope.report.latex import MOST_ROWS, Latex
from prunescope.report.latex_text import escape
from tests.report.test_media import HOSTILE, read, say_everything

LEFT: Justify = "left"
TENSOR = "model.layers.27.post_attention_layernorm.weight"
FOREIGN = ["Ж", "🚀", "ﷺ", "«", "ð", "≠", "한", "\u202e", "\xad", "\x07"]
CHINESE = ["权重_1", "层.中文.weight", "“剪枝” (100%)", "カタカナ", "。"]
EUROPEAN = ["é ü ß Å ñ", "don’t – “so”", "½ ² µ · §"]
PREAMBLE = r"""\documentclass{article}
\usepackage{booktabs,graphicx,longtable}
"""


def table(rows: list[list[str]], title: str = "") -> str:
    """LaTeX of one table, the first row its head."""
    out = StringIO()
    screen = Latex(out)
    if title:
        screen.section(title)
    screen.table(rows[0], rows[1:], [LEFT] * len(rows[0]))
    return out.getvalue()


@pytest.mark.parametrize("letter", FOREIGN)
def test_letters_that_no_font_of_latex_has_are_named_by_number(letter: str) -> None:
    assert escape(f"a{letter}b") == f"aU+{ord(letter):04X}b"


@pytest.mark.parametrize("text", ["权重", "层", "カタカナ", "é ü ß", "don’t – “so”", "。"])
def test_letters_that_it_has_stay(text: str) -> None:
    assert escape(text) == text


def test_what_fonts_join_to_another_sign_is_kept_apart() -> None:
    assert escape("a---b") == "a-{}-{}-b"
    assert escape(",,a''") == ",{},a'{}'"


def test_a_long_name_may_be_broken_at_its_joints() -> None:
    escaped = escape(TENSOR)

    assert r"post\_\allowbreak{}attention\_\allowbreak{}layernorm.\allowbreak{}weight" in escaped
    assert read(escaped) == TENSOR
    # 100 letters: behind every 24th.
    assert escape("a" * 100).split(r"\allowbreak{}") == ["a" * 24] * 4 + ["a" * 4]
    assert "allowbreak" not in escape("mlp.down_proj.weight of every layer of a model")


def test_a_table_wider_than_the_line_is_narrowed_to_it() -> None:
    # 345 points: 5 for each letter, 12 for each column. 57 letters and 5 columns are just too many.
    for letters, narrowed in ((57, False), (58, True)):
        text = table([["A"] * 5, ["b" * (letters - 40), *["c" * 10] * 4]])
        assert (r"\resizebox{\ifdim\width>\linewidth" in text) == narrowed
        assert text.count("{") == text.count("}")
        assert r"\begin{tabular}{lllll}" in text


def test_a_longtable_wider_than_the_line_is_set_smaller() -> None:
    def sized(letters: int) -> str:
        return table([["A"] * 5, *[["b" * letters] + ["c" * 10] * 4] * (MOST_ROWS + 1)])

    assert r"\setlength" not in sized(17)
    # (18 + 40) × 5 × 0.93 + 5 × 6 is within 345, (36 + 40) × 5 × 0.8 + 30 within, × 0.85 not.
    assert "\\begingroup\n\\small\\setlength{\\tabcolsep}{3pt}\n\\begin{longtable}" in sized(18)
    assert "\\begingroup\n\\scriptsize\\setlength" in sized(36)
    assert sized(18).rstrip().endswith("\\end{longtable}\n\\endgroup")


def test_wrapped_columns_share_what_the_others_leave() -> None:
    # 9 letters and three columns take 81 of 345 points, so 0.765 of the line is left for two.
    rows = [["A", "B", "C"], ["a" * 9, "word " * 20, "word " * 20]]
    assert r"\begin{tabular}{lp{0.38\linewidth}p{0.38\linewidth}}" in table(rows)


def everything(texts: list[str]) -> str:
    """All that the medium writes, with each text in each place."""
    out = StringIO()
    screen = Latex(out)
    for text in texts:
        screen.section(text)
        screen.table(["A", "B"], [[text, text]], [LEFT, "right"])
        screen.line(text)
        screen.line(text, "bold red")
        screen.line(text, "bold")
    screen.section("Paged")
    screen.table(["A"] * 6, [[text, *["10,000,000"] * 5] for text in texts * 10], [LEFT] * 6)
    say_everything(screen)
    return out.getvalue()


def compiled(folder: Path, body: str, engine: str = "pdflatex", packages: str = "") -> str:
    """The log, once there is a PDF."""
    needed = "ctex.sty" if packages else "booktabs.sty"
    if shutil.which(engine) is None or subprocess.run(["kpsewhich", needed]).returncode:
        pytest.skip(f"no {engine} with {needed} here (apt-get install texlive-…)")
    text = f"{PREAMBLE}{packages}\n\\begin{{document}}\n{body}\\end{{document}}\n"
    (folder / "a.tex").write_text(text, "utf-8")
    done = subprocess.run(
        [engine, "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "a.tex"],
        cwd=folder, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "a.pdf").is_file()
    return (folder / "a.log").read_text("utf-8", "replace")


@pytest.mark.parametrize(
    ("engine", "packages", "texts"),
    [
        ("pdflatex", "", HOSTILE + FOREIGN + EUROPEAN),
        ("xelatex", r"\usepackage{ctex}", HOSTILE + FOREIGN + EUROPEAN + CHINESE),
    ],
    ids=["pdflatex", "xelatex"],
)
def test_any_name_anywhere_compiles(
    engine: str, packages: str, texts: list[str], tmp_path: Path
) -> None:
    assert "Missing character" not in compiled(tmp_path, everything(texts), engine, packages)


def test_no_table_runs_off_its_line(tmp_path: Path) -> None:
    heads = ["Layer", "In file", "Heads (q/o)", "KV heads (k/v)", "Channels", "Retention", "Drift"]
    cells = ["22-23 ×2", "22-23 ×2", "0-2, 6-8 ✓", "0, 2 ✓", "1152/1536 ✓", "0.7293", "="]
    body = [
        table([heads, cells, cells], "What was kept"),
        table([heads, *[cells] * (MOST_ROWS + 1)], "What was kept, on pages"),
        table([["Tensor", "Agrees"], *[[TENSOR, "✓"]] * (MOST_ROWS + 1)], "Tensors"),
        table([["Check", "Found"], ["layers at target (by pruning.json)", f"{TENSOR}: " * 5]]),
    ]
    assert "Overfull" not in compiled(tmp_path, "\n".join(body))
