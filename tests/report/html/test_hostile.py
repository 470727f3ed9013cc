"""What a stranger's file says is shown on the page, and never run."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from prunescope.analysis.overview import Overview, Question, overview
from prunescope.analysis.workload import Workload
from prunescope.checkpoint import open_checkpoint
from prunescope.cli.report import MOST_PRUNED
from prunescope.report.html.page import Page, page
from prunescope.report.html.render import render
from tests.report.html.conftest import SMALL, report
from tests.support.browser import Opened
from tests.support.sparse import LlamaShape, llama_shapes, write_model
from tests.support.tiny import edit_json

SCRIPT = "<script>window.hacked=1</script>"
IMAGE = "\"'><img src=x onerror=window.hacked=1>"
# Turns the direction of writing round, so that `fdp.exe` reads `exe.pdf`; and bell, and escape.
MARKS = "\u202eright\u2066\a\x1b[31m"
NAMES = ("<img src=x onerror=window.hacked=1>", "{{ 7*7 }}{% raw %}", MARKS, "<!--<script>", "שלום")


class Tags(HTMLParser):
    """The page's tags, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def models(folder: Path, name: str) -> tuple[Path, Path]:
    original = write_model(folder / "original", SMALL, llama_shapes(SMALL))
    pruned = write_model(folder / name, SMALL, llama_shapes(SMALL, range(3, 9), channels=3))
    return original, pruned


def found(original: Path, *pruned: Path) -> Overview:
    opened = [open_checkpoint(path) for path in pruned]
    return overview(open_checkpoint(original), opened, Question(Workload(128, 1)))


def laid_out(of: Overview, unmatched: tuple[str, ...] = ()) -> Page:
    return page(of, [], unmatched, "prunescope report", [])


def evaluation(path: Path, model: Path) -> Path:
    said = {
        "schema": "prunescope.eval/1",
        "device": IMAGE,
        "text": {"source": SCRIPT + MARKS},
        "models": [
            {"path": str(model), "perplexity": 9,
             "tasks": [{"task": SCRIPT, "metric": IMAGE, "value": 1}]},
            {"path": SCRIPT, "perplexity": 8},
        ],
    }  # fmt: skip
    path.write_text(json.dumps(said))
    return path


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report in which everything that a stranger names is an attack."""
    folder = tmp_path_factory.mktemp("hostile")
    original, pruned = models(folder, NAMES[0])
    edit_json(pruned / "config.json", {"dtype": SCRIPT, "rope_scaling": {IMAGE: MARKS}})
    others = []
    for name in NAMES[1:]:
        shapes = llama_shapes(SMALL, range(3, 9), channels=3)
        others.append(write_model(folder / name, SMALL, shapes))
    measured = evaluation(folder / "eval.json", pruned)
    report(original, pruned, *others, "-o", folder / "report.html", "--eval", measured)
    return folder / "report.html"


def test_no_name_becomes_a_tag_or_a_handler(hostile: Path) -> None:
    parsed = Tags(hostile.read_text("utf-8"))

    assert parsed.tags.count("script") == 5
    assert "img" not in parsed.tags
    assert parsed.handlers == []


def test_names_are_shown_with_their_marks_spelt_out(hostile: Path) -> None:
    text = hostile.read_text("utf-8")

    assert not re.search("[\u202a-\u202e\u2066-\u2069\a\x1b]", text)
    assert r"\u202eright\u2066\x07\x1b[31m" in text
    assert "&lt;script&gt;window.hacked=1&lt;/script&gt;" in text
    # A template's words in a name are words.
    assert "{{ 7*7 }}{% raw %}" in text


def test_a_browser_runs_none_of_it(browser: Any, hostile: Path) -> None:
    opened = Opened(browser, hostile)

    assert opened.errors == []
    assert opened.page.evaluate("window.hacked") is None
    for button in ("button[data-language=zh]", "#modules th button"):
        opened.page.locator(button).first.click()
    opened.page.hover("[data-chart=layers] svg")
    assert opened.page.evaluate("window.hacked") is None
    assert opened.page.locator("img").count() == 0
    assert NAMES[0] in opened.texts("h2 bdi")


def test_the_policy_stops_a_script_that_got_in_all_the_same(
    browser: Any, single: Path, tmp_path: Path
) -> None:
    spoilt = tmp_path / "spoilt.html"
    spoilt.write_text(single.read_text("utf-8").replace("<main", SCRIPT + "<main", 1), "utf-8")

    opened = Opened(browser, spoilt)
    assert opened.page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in error for error in opened.errors)


def test_data_for_scripts_cannot_end_its_element(tmp_path: Path) -> None:
    content = laid_out(found(*models(tmp_path, "pruned")))
    attack = "</script><script>window.hacked=1</script><!--"
    charts = content.charts | {"front": [{"name": attack}]}

    text = render(replace(content, charts=charts), "en")
    (data,) = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', text)
    assert json.loads(data)["front"] == [{"name": attack}]
    assert "<" not in data


def test_the_page_stays_small_whatever_the_models_claim(tmp_path: Path) -> None:
    # Twelve models of more layers than are drawn, each layer with units that are not whole.
    deep = LlamaShape(240, 8, 65, 4, 2, 2, 10, tied=False)
    original = write_model(tmp_path / "original", deep, llama_shapes(deep))
    shapes = llama_shapes(deep, range(0, 240, 2), q_rows=1, kv_rows=1, channels=1)
    pruned = [write_model(tmp_path / f"{n:0200}", deep, shapes) for n in range(MOST_PRUNED)]
    for folder in pruned:
        edit_json(folder / "config.json", {"dtype": SCRIPT * 100})

    content = laid_out(found(original, *pruned), (SCRIPT * 100,) * 1000)
    text = render(content, "en")

    assert len(text.encode("utf-8")) < 1_500_000
    # 240 layers of nine modules, and three outside.
    assert content.left_out == MOST_PRUNED * (9 * 240 + 3) - len(content.rows)
    assert content.undrawn == 40
