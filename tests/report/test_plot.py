"""The plot shows each layer's sparsity, and the same figures give the same file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from prunescope.analysis.compare import compare
from prunescope.analysis.compare_result import Comparison
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import MissingExtra, PrunescopeError
from prunescope.report import plot
from prunescope.report.messages import Messages
from tests.support.sparse import LlamaShape, llama_shapes, write_safetensors

# A layer: 2 · 64 + 2 · 32 + 3 · 96 + 2 · 8 = 496 parameters; 3 channels are 72 of them.
SMALL = LlamaShape(4, 8, 12, 4, 2, 2, 10, tied=False)
EN = Messages("en")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("models")
    write_safetensors(folder / "a.safetensors", llama_shapes(SMALL))
    write_safetensors(folder / "b.safetensors", llama_shapes(SMALL, range(1, 3), channels=3))
    return compare(
        open_checkpoint(folder / "a.safetensors"), open_checkpoint(folder / "b.safetensors")
    )


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("plot.png", b"\x89PNG\r\n\x1a\n"),
        ("plot.svg", b"<?xml"),
        ("plot.pdf", b"%PDF-"),
        ("PLOT.PNG", b"\x89PNG\r\n\x1a\n"),
    ],
)
def test_the_suffix_chooses_the_format(
    tmp_path: Path, comparison: Comparison, name: str, start: bytes
) -> None:
    plot.plot_sparsity(comparison, tmp_path / name, EN)

    assert (tmp_path / name).read_bytes().startswith(start)
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("suffix", plot.FORMATS)
def test_the_same_figures_give_the_same_bytes(
    tmp_path: Path, comparison: Comparison, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"

    plot.plot_sparsity(comparison, first, EN)
    # matplotlib would take the date from here, had it not been told to leave it out.
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    plot.plot_sparsity(comparison, second, EN)

    assert first.read_bytes() == second.read_bytes()


def test_a_bar_is_a_layers_sparsity_and_the_line_the_whole_models(
    tmp_path: Path, comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib import pyplot

    drawn = []
    monkeypatch.setattr(pyplot, "close", drawn.append)
    plot.plot_sparsity(comparison, tmp_path / "plot.png", EN)
    monkeypatch.undo()

    axes = drawn[0].axes[0]
    assert [bar.get_height() for bar in axes.patches] == [0, 72 / 496, 72 / 496, 0]
    assert [bar.get_x() + bar.get_width() / 2 for bar in axes.patches] == [0, 1, 2, 3]
    # Four layers, embedding and head of 10 × 8, a norm of 8.
    (line,) = axes.lines
    assert list(line.get_ydata()) == [144 / (4 * 496 + 168)] * 2
    # 144 / 2152 = 6.69 %.
    assert axes.get_legend().get_texts()[0].get_text() == "Overall Sparsity (6.7%)"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Layer Index", "Sparsity")
    pyplot.close(drawn[0])


def test_the_heat_map_has_a_cell_for_each_projection_of_each_layer(
    tmp_path: Path, comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib import pyplot

    drawn = []
    monkeypatch.setattr(pyplot, "close", drawn.append)
    plot.plot_sparsity(comparison, tmp_path / "plot.png", EN)
    monkeypatch.undo()

    heat = drawn[0].axes[1]
    (image,) = heat.images
    # 3 of 12 channels went from gate, up and down; q, k, v and o are whole.
    assert image.get_array().tolist() == [[0] * 4] * 4 + [[0, 0.25, 0.25, 0]] * 3
    labels = [label.get_text() for label in heat.get_yticklabels()]
    assert labels == ["Q", "K", "V", "O", "GATE", "UP", "DOWN"]
    assert image.get_cmap().name == "cividis"
    pyplot.close(drawn[0])


@pytest.mark.parametrize(("width", "pixels"), [("single", 990), ("double", 2040)])
def test_a_plot_is_as_wide_as_a_papers_column(
    tmp_path: Path, comparison: Comparison, width: str, pixels: int
) -> None:
    from matplotlib import image

    plot.plot_sparsity(comparison, tmp_path / "plot.png", EN, width)

    # 3.3 and 6.8 inches at 300 dots per inch.
    assert image.imread(tmp_path / "plot.png").shape[1] == pixels


def test_no_figure_stays_open(tmp_path: Path, comparison: Comparison) -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    plot.plot_sparsity(comparison, tmp_path / "plot.png", EN)

    assert pyplot.get_fignums() == before


def test_without_a_chinese_font_the_labels_are_english(
    tmp_path: Path, comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plot, "_chinese_font", lambda: None)

    plot.plot_sparsity(comparison, tmp_path / "zh.svg", Messages("zh"))
    plot.plot_sparsity(comparison, tmp_path / "en.svg", EN)

    assert (tmp_path / "zh.svg").read_bytes() == (tmp_path / "en.svg").read_bytes()


@pytest.mark.parametrize("name", ["plot.bmp", "plot", "plot.png.gz", ".png"])
def test_another_suffix_is_refused_in_one_line(
    tmp_path: Path, comparison: Comparison, name: str
) -> None:
    with pytest.raises(PrunescopeError) as caught:
        plot.plot_sparsity(comparison, tmp_path / name, EN)

    assert str(caught.value) == f"{tmp_path / name}: a plot ends in .png, .svg, .pdf"
    assert names(tmp_path) == []


def test_without_matplotlib_the_message_says_what_to_install(
    tmp_path: Path, comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None makes an import fail as if the module were not installed.
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(MissingExtra, match=r"pip install 'prunescope\[plot\]'"):
        plot.plot_sparsity(comparison, tmp_path / "plot.png", EN)

    assert names(tmp_path) == []


def test_an_older_plot_outlives_a_failure(
    tmp_path: Path, comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    def broken(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "plot.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(Figure, "savefig", broken)

    with pytest.raises(PrunescopeError, match="No space left on device"):
        plot.plot_sparsity(comparison, path, EN)

    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["plot.png"]
