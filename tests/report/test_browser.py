"""The browser, driven by Textual's own pilot: what is shown, found, sorted and opened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from textual.pilot import Pilot
from textual.widgets import Static, Tree

from prunescope.analysis.compare import compare
from prunescope.analysis.record import read_record
from prunescope.architecture import describe
from prunescope.checkpoint import open_checkpoint
from prunescope.report.browser.app import Browser
from prunescope.report.browser.entries import Entry, of_model, of_pair, strip
from prunescope.report.messages import Messages
from tests.support.pruning import described, plan, prune_tiny
from tests.support.tiny import tiny_folder

Scenario = Callable[[Browser, Pilot[None]], Coroutine[Any, Any, None]]
SAY = Messages("en")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny model, and the one of which layers 1 and 2 have lost half."""
    folder = tmp_path_factory.mktemp("pair")
    whole = tiny_folder(folder / "whole")
    prune_tiny(described(whole), plan()).save(folder / "pruned")
    return whole, folder / "pruned"


def entries_of(pair: tuple[Path, Path]) -> tuple[Entry, ...]:
    before, after = map(open_checkpoint, pair)
    return of_pair(compare(before, after), read_record(after), "Layer")


def drive(entries: tuple[Entry, ...], scenario: Scenario) -> None:
    """Run the browser without a terminal, and `scenario` in it."""

    async def run() -> None:
        browser = Browser("whole → pruned", entries, SAY)
        async with browser.run_test(size=(120, 40)) as pilot:
            await pilot.pause()
            await scenario(browser, pilot)

    # In a thread of its own: other tests' browsers may leave a loop running in this one.
    with ThreadPoolExecutor(1) as threads:
        threads.submit(lambda: asyncio.run(run())).result()


def titles(browser: Browser) -> list[str]:
    """The lines below the root that are shown."""
    root = browser.query_one("#tree", Tree).root
    lines = []
    for node in root.children:
        lines.append(str(node.label))
        if node.is_expanded:
            lines += [f"  {child.label}" for child in node.children]
    return lines


def details(browser: Browser) -> str:
    text = browser.query_one("#text", Static)
    # What textual's first releases render only describes its text.
    return str(getattr(text, "renderable", text.render()))


def test_a_pair_is_a_tree_of_layers_with_what_they_lost(pair: tuple[Path, Path]) -> None:
    async def scenario(browser: Browser, pilot: Pilot[None]) -> None:
        lines = titles(browser)
        # Before: q and o 32 × 24, k and v 16 × 24, three of 20 × 24 and two norms of 24.
        whole = 2 * 32 * 24 + 2 * 16 * 24 + 3 * 20 * 24 + 2 * 24
        half = 16 * 24 * 2 + 8 * 24 * 2 + 3 * 10 * 24 + 2 * 24
        assert lines[0] == f"Layer 0  {whole:,}"
        assert lines[1] == f"Layer 1  {half:,}  -{100 * (1 - half / whole):.2f}%"
        assert len(lines) == 4 + 3

    drive(entries_of(pair), scenario)


def test_a_layer_opens_and_tells_what_was_kept(pair: tuple[Path, Path]) -> None:
    async def scenario(browser: Browser, pilot: Pilot[None]) -> None:
        await pilot.press("down", "down", "space")
        await pilot.pause()
        lines = titles(browser)
        assert any("Attention Q Projection" in line for line in lines)
        text = details(browser)
        # Half of 2 KV heads with 2 query heads each, and of 20 channels.
        for line in ("KV heads: 1 of 2 kept", "Heads: 2 of 4 kept", "Channels: 10 of 20 kept"):
            assert line in text
        assert (text.count("█"), text.count("·")) == (13, 13)
        await pilot.press("down")
        await pilot.pause()
        assert "model.layers.1.self_attn.q_proj.weight" in details(browser)
        assert "32 × 24" in details(browser)
        assert "16 × 24" in details(browser)

    drive(entries_of(pair), scenario)


def test_sorting_puts_what_lost_most_first_and_back(pair: tuple[Path, Path]) -> None:
    async def scenario(browser: Browser, pilot: Pilot[None]) -> None:
        await pilot.press("s")
        await pilot.pause()
        assert [line.split("  ")[0] for line in titles(browser)[:3]] == [
            "Layer 1",
            "Layer 2",
            "Layer 0",
        ]
        await pilot.press("s")
        await pilot.pause()
        assert titles(browser)[0].startswith("Layer 0")

    drive(entries_of(pair), scenario)


def test_searching_opens_what_is_found_and_escape_shows_all(pair: tuple[Path, Path]) -> None:
    async def scenario(browser: Browser, pilot: Pilot[None]) -> None:
        before = titles(browser)
        await pilot.press("slash", *"down_proj", "enter")
        await pilot.pause()
        lines = titles(browser)
        assert len(lines) == 8
        assert all("MLP Down" in line for line in lines[1::2])
        await pilot.press("escape")
        await pilot.pause()
        assert [line.split("  ")[0] for line in titles(browser)[:1]] == ["Layer 0"]
        assert len(titles(browser)) >= len(before)

    drive(entries_of(pair), scenario)


def test_one_checkpoint_shows_what_it_holds(pair: tuple[Path, Path]) -> None:
    async def scenario(browser: Browser, pilot: Pilot[None]) -> None:
        assert all("%" not in line for line in titles(browser))
        await pilot.press("e")
        await pilot.pause()
        assert len(titles(browser)) == 4 * 10 + 3

    entries = of_model(describe(open_checkpoint(pair[0])), "Layer")
    drive(entries, scenario)


def test_a_strangers_name_is_shown_and_never_taken_for_markup(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    name = "model.layers.0.[red]x[/red]\x1b[31m"
    extra = {name: torch.zeros(2), "model.layers.0.mlp.up_proj.weight": torch.zeros(20, 24)}
    save_file(extra, folder / "model.safetensors")
    model = describe(open_checkpoint(folder), strict=False)

    async def scenario(browser: Browser, pilot: Pilot[None]) -> None:
        line = r"model.layers.0.[red]x[/red]\x1b[31m"
        assert titles(browser)[-1] == f"{line}  2"
        await pilot.press("end")
        await pilot.pause()
        assert line in details(browser)

    drive(of_model(model, "Layer"), scenario)


def test_a_strip_draws_each_unit_or_shades_of_several() -> None:
    assert strip([0, 2], 4) == "█·█·"
    # 128 units in 32 cells: four a cell, all, two or none of them kept.
    assert strip(range(6), 128) == "█▒" + "·" * 30
    # A cell is full only where nothing is missing, and empty only where nothing is left.
    assert strip(range(1, 640), 640)[0] == "▓"
    assert strip([0], 640)[0] == "░"
