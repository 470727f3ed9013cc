"""Chinese labels are drawn only with a font that has their signs."""

from __future__ import annotations

from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.ttLib.tables._g_l_y_f import Glyph
from matplotlib import font_manager, get_data_path
from matplotlib.font_manager import FontEntry

from prunescope.report.fonts import font_with

DEJAVU = str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")


def font_of(path: Path, signs: str) -> str:
    """A font of empty boxes for `signs`, made by fontTools."""
    names = {ord(sign): f"u{ord(sign):04X}" for sign in signs}
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap(names)
    builder.setupGlyf({name: Glyph() for name in [".notdef", *names.values()]})
    builder.setupHorizontalMetrics(dict.fromkeys([".notdef", *names.values()], (500, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Test", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return str(path)


def installed(monkeypatch: pytest.MonkeyPatch, **files: str) -> None:
    entries = [FontEntry(fname=file, name=name.replace("_", " ")) for name, file in files.items()]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", entries)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)


def test_a_font_with_all_signs_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, SimHei=font_of(tmp_path / "a.ttf", "稀疏度"))

    assert font_with("稀疏 度") == "SimHei"
    assert font_with("层") is None


def test_a_font_installed_after_matplotlib_listed_them_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch)
    later = [font_of(tmp_path / "a.ttf", "层"), font_of(tmp_path / "b.ttf", "稀疏度")]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: later)

    assert font_with("稀疏 度") == "Test"
    assert [font.fname for font in font_manager.fontManager.ttflist] == [later[1]]


def test_a_name_alone_promises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # DejaVu Sans has no Chinese, whatever it is called.
    installed(monkeypatch, Noto_Sans_CJK_SC=DEJAVU)

    assert font_with("Sparsity") == "Noto Sans CJK SC"
    assert font_with("稀疏度") is None


def test_one_font_has_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half, whole = font_of(tmp_path / "a.ttf", "稀"), font_of(tmp_path / "b.ttf", "稀疏")
    installed(monkeypatch, Noto_Sans_CJK_SC=half, SimHei=whole)

    assert font_with("稀疏") == "SimHei"


def test_a_font_that_is_gone_or_damaged_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.ttf").write_bytes(b"no font")
    installed(monkeypatch, SimHei=str(tmp_path / "a.ttf"), PingFang_SC=str(tmp_path / "b.ttf"))

    assert font_with("稀") is None
