"""The report in a real browser: it opens, draws, sorts, filters and switches, and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Opened

ROWS = "#modules tbody tr:visible"


@pytest.fixture
def opened(browser: Any, single: Path) -> Opened:
    return Opened(browser, single)


@pytest.mark.parametrize("name", ["single", "several"])
def test_it_opens_from_disk_without_errors_and_asks_for_nothing(
    browser: Any, name: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(name)
    opened = Opened(browser, path, offline=True)

    assert opened.errors == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [path.as_uri()]
    charts = opened.page.locator("[data-chart]")
    assert charts.count() == (4 if name == "single" else 9)
    for chart in charts.all():
        assert chart.locator("svg").count() >= 1


def test_a_bar_is_as_high_as_its_layers_sparsity(opened: Opened) -> None:
    bars = opened.page.locator("[data-chart=layers] [aria-label=bar] rect").all()
    heights = [float(bar.get_attribute("height")) for bar in bars]

    # 72 of 496 parameters went from each of layers 3 to 8.
    assert len(heights) == 12
    assert heights[:3] == heights[9:] == [0, 0, 0]
    assert len({round(height, 3) for height in heights[3:9]}) == 1
    assert heights[3] > 50
    labels = opened.drawn("[data-chart=layers] svg text")
    # 6 · 72 / (12 · 496 + 168) = 0.0707.
    assert "Overall Sparsity (7.1%)" in labels
    assert "Target Sparsity (7.0%)" in labels


def test_cells_of_the_heat_map_carry_their_figure(opened: Opened) -> None:
    cells = opened.drawn("[data-chart=heat] g[aria-label=text] text")
    # By layer: q, k, v, o, then gate, up and down of which 3 of 12 channels went.
    assert sorted(cells) == ["0"] * (12 * 7 - 18) + ["25"] * 18


def test_a_click_sorts_and_another_turns_it_round(opened: Opened) -> None:
    header = opened.page.locator("#modules th").filter(has_text="Sparsity")
    last = "#modules tbody tr:visible td:last-child"

    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    found = opened.texts(last)
    assert found == sorted(found)
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert opened.texts(last)[0] == "0.2500"
    assert opened.page.locator("[aria-sort]").count() == 1


def test_layers_sort_as_numbers(opened: Opened) -> None:
    opened.page.locator("#modules th").first.locator("button").click()

    layers = opened.texts("#modules tbody tr td:first-child")
    assert layers[:3] == ["-"] * 3
    assert [int(layer) for layer in layers[3:]] == sorted(9 * list(range(12)))


def test_the_table_is_filtered_by_words_numbers_module_and_pruning(opened: Opened) -> None:
    page = opened.page
    page.fill("#filter", "gate")
    assert page.locator(ROWS).count() == 12
    page.check("#filter-pruned")
    assert page.locator(ROWS).count() == 6
    page.fill("#filter", "gate 5")
    assert opened.texts(f"{ROWS} td:first-child") == ["5"]
    assert opened.texts("#filter-count") == ["1 / 111"]
    page.fill("#filter", "")
    page.select_option("#filter-module", "MLP Up Projection")
    assert page.locator(ROWS).count() == 6
    page.fill("#filter", "nothing is called so")
    assert page.locator(ROWS).count() == 0


def test_the_language_is_switched_everywhere(opened: Opened) -> None:
    page = opened.page
    assert page.title().startswith("Pruning report · ")
    page.click("button[data-language=zh]")

    assert page.title().startswith("剪枝报告 · ")
    assert page.locator("html").get_attribute("lang") == "zh"
    assert opened.texts("h1") == ["剪枝报告"]
    assert "整体稀疏度 (7.1%)" in opened.drawn("[data-chart=layers] svg text")
    assert page.locator("span[lang=en]:visible").count() == 0
    assert page.locator("button[aria-pressed=true][data-language]").inner_text() == "中文"
    page.click("button[data-language=en]")
    assert page.locator("span[lang=zh]:visible").count() == 0
    assert opened.errors == []


def ground(opened: Opened) -> str:
    return str(opened.page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_the_theme_follows_the_system_until_it_is_chosen(browser: Any, single: Path) -> None:
    dark, light = "rgb(20, 23, 26)", "rgb(255, 255, 255)"
    opened = Opened(browser, single, color_scheme="dark")

    assert ground(opened) == dark
    opened.page.click("button[data-theme-choice=light]")
    assert ground(opened) == light
    opened.page.emulate_media(color_scheme="light")
    opened.page.click("button[data-theme-choice=dark]")
    assert ground(opened) == dark
    opened.page.emulate_media(media="print")
    assert ground(opened) == light


def test_every_control_is_reached_by_keyboard(opened: Opened) -> None:
    page = opened.page
    controls = page.locator("a, button, input, select, summary").count()
    reached = set()
    for _ in range(controls + 20):
        page.keyboard.press("Tab")
        name = page.evaluate("""() => {
            const all = [...document.querySelectorAll("a, button, input, select, summary")];
            return all.indexOf(document.activeElement);
        }""")
        reached.add(name)
    assert reached >= set(range(controls))


def test_enter_on_a_header_sorts(opened: Opened) -> None:
    header = opened.page.locator("#modules th").nth(1)
    header.locator("button").focus()
    opened.page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "ascending"


def test_a_narrow_screen_scrolls_tables_not_the_page(browser: Any, several: Path) -> None:
    opened = Opened(browser, several, viewport={"width": 360, "height": 700})
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 360


def test_what_is_printed_has_every_row_and_no_controls(opened: Opened) -> None:
    opened.page.emulate_media(media="print")
    assert opened.page.locator("button:visible").count() <= 9  # the headers' own
    assert opened.page.locator(".filters, .switches, nav").locator("visible=true").count() == 0
    assert opened.page.locator(ROWS).count() == 111
    assert opened.page.evaluate(
        "getComputedStyle(document.querySelector('.tall')).overflowY === 'visible'"
    )


def test_no_table_is_wider_than_the_paper(browser: Any, several: Path) -> None:
    # A4 between margins of a centimetre, at 96 pixels an inch.
    opened = Opened(browser, several, viewport={"width": 718, "height": 1000})
    opened.page.emulate_media(media="print")
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 718
    widths = opened.page.evaluate(
        "[...document.querySelectorAll('table')].map((t) => t.getBoundingClientRect().right)"
    )
    assert len(widths) > 8
    assert max(widths) <= 718


def test_the_front_joins_models_that_none_beats(browser: Any, several: Path) -> None:
    opened = Opened(browser, several)
    assert opened.page.locator("[data-chart=front] [aria-label=dot] circle").count() == 3
    names = opened.drawn("[data-chart=front] [aria-label=text] text")
    assert sorted(names) == ["half", "most", "original"]


def test_kept_heads_are_drawn_and_lost_ones_crossed(browser: Any, several: Path) -> None:
    opened = Opened(browser, several)
    heads = opened.page.locator("[data-chart=kept][data-model='0'] .spaces > div").first
    # Eight heads in four layers, of which layers 1 and 2 lost four each.
    assert heads.locator("[aria-label=bar] rect").count() == 32
    assert heads.locator("[aria-label=text] text").filter(has_text="×").count() == 8
