"""What goes on the page, and what the file is made of."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from pathlib import Path

import pytest

import prunescope
from prunescope.report.html.names import short_names
from prunescope.report.html.said import Said, printed, said
from tests.report.html.conftest import report
from tests.support.families import family_folder

VENDOR = Path(prunescope.__file__).parent / "report" / "html" / "vendor"
# Of the files in npm's d3 7.9.0 and @observablehq/plot 0.6.17, as sha256sum gives them.
DIGESTS = {
    "d3.min.js": "f2094bbf6141b359722c4fe454eb6c4b0f0e42cc10cc7af921fc158fceb86539",
    "plot.umd.min.js": "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_the_libraries_are_those_of_their_makers(name: str) -> None:
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == DIGESTS[name]


def test_the_file_is_whole_in_itself_and_small(single: Path, several: Path) -> None:
    for path in (single, several):
        text = path.read_text("utf-8")
        assert path.stat().st_size < 1_500_000
        outside = re.sub(r"<script>.*?</script>|<pre>.*?</pre>", "", text, flags=re.DOTALL)
        assert not re.search(r"(src|href)=(?!\"(#|data:))|https?://|@import|url\(", outside)


def test_the_policy_names_each_script_by_its_digest(single: Path) -> None:
    text = single.read_text("utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digests = re.findall(r"'sha256-([^']+)'", text[: text.index("<title>")])

    assert len(scripts) == 4
    assert digests == [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    ]


def test_the_licences_travel_with_the_libraries(single: Path) -> None:
    text = single.read_text("utf-8")
    for owner in ("Mike Bostock", "Observable, Inc."):
        assert re.search(rf"<pre>Copyright 20\d\d-20\d\d {owner}\n\nPermission to use", text)


def test_the_same_models_give_the_same_bytes(single: Path, tmp_path: Path) -> None:
    folder = single.parent
    first = single.read_bytes()
    report(folder / "original", folder / "pruned", "-o", single, "--expect-sparsity", 0.07)
    assert single.read_bytes() == first


def test_figures_are_those_of_the_shapes(single: Path) -> None:
    text = single.read_text("utf-8")

    # Twelve layers of 496, embedding and head of 80, a norm of 8; 6 · 72 went.
    assert '<dd class="figure">5,688</dd>' in text
    assert "was 6,120" in text
    assert '<dd class="figure">0.0706</dd>' in text
    row = '<td>3</td><td class="text">MLP Gate Projection</td><td>12 × 8</td><td>9 × 8</td>'
    assert row + "<td>96</td><td>72</td><td>0.7500</td><td>0.2500</td></tr>" in text


def test_files_have_their_digests_where_asked(single: Path, several: Path) -> None:
    weights = several.parent / "original" / "model.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in several.read_text("utf-8")
    assert "not computed (--sha256)" in single.read_text("utf-8")


def test_weights_that_were_read_are_told_of(several: Path) -> None:
    text = several.read_text("utf-8")
    assert "What is left has the original&#x27;s bits" in text
    assert "weights were not read" not in text
    assert "By trace." in text


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["models/a", "log/b"], ["a", "b"]),
        (["models/a", "log/a"], ["models/a", "log/a"]),
        (["x/a/model.gguf", "x/b/model.gguf"], ["a/model.gguf", "b/model.gguf"]),
        (["a", "b/a"], ["a", "b/a"]),
        (["org/model-1.5", "log/x"], ["model-1.5", "x"]),
    ],
)  # fmt: skip
def test_names_are_as_short_as_tells_them_apart(paths: list[str], names: list[str]) -> None:
    assert short_names(paths) == names


def test_a_sentence_stands_there_in_both_languages() -> None:
    assert said("layer").__html__() == '<span lang="zh">层</span><span lang="en">Layer</span>'
    assert Said("<b>", "<b>").__html__() == "&lt;b&gt;"


def test_lines_beyond_the_bound_are_counted() -> None:
    lines = printed(lambda screen, _: [screen.line(str(n)) for n in range(5)] and None, 3)
    assert [line.en for line in lines] == ["0", "1", "… and 3 more"]


def test_a_family_without_formulas_has_a_report_without_costs(tmp_path: Path) -> None:
    folder, page = family_folder("bert", tmp_path / "m"), tmp_path / "r.html"
    shutil.copytree(folder, tmp_path / "p")
    report(folder, tmp_path / "p", "-o", page)
    text = page.read_text("utf-8")
    assert "There are no formulas for what this family costs to run." in text
    assert 'id="costs-1"' not in text
    # Where costs are asked for, they are not left out in silence.
    report(folder, tmp_path / "p", "-o", page, "--device", "l4", code=2)
    report(folder, tmp_path / "p", "-o", page, "--batch", 4, code=2)
