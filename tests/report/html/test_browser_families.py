"""The report of families whose modules have longer names than Llama's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.support.browser import Opened
from tests.support.commands import prunescope
from tests.support.families import MODELS


def test_names_of_modules_are_drawn_whole(browser: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    for name in ("before", "after"):
        MODELS["mixtral"]().save_pretrained(tmp_path / name)
    done = prunescope("report", "before", "after", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    opened = Opened(browser, tmp_path / "report.html")
    assert opened.errors == []
    svg = opened.page.locator("[data-chart=heat] svg").last
    labels = svg.locator("[aria-label='y-axis tick label'] text").all()
    names = [label.text_content() for label in labels]
    assert "EXPERT_DOWN" in names
    left = svg.bounding_box()["x"]
    assert all(label.bounding_box()["x"] >= left for label in labels)
