"""Which installed font has the signs of a text? Chinese labels are drawn only where one has.

matplotlib knows a font's signs by its character map (`cmap`); a name alone promises nothing.
"""

from __future__ import annotations

from prunescope.extras import require

# Those made for simplified Chinese come first.
_WANTED = (
    "Noto Sans CJK SC", "Source Han Sans SC", "Noto Sans SC", "WenQuanYi Micro Hei", "SimHei",
    "Microsoft YaHei", "PingFang SC", "Hiragino Sans GB", "Noto Sans CJK JP",
)  # fmt: skip


def font_with(text: str) -> str | None:
    """The name of an installed font that has every sign of `text`; None where none has.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    manager = require("matplotlib.font_manager", "plot")
    signs = {ord(sign) for sign in text if not sign.isspace()}
    for wanted in _WANTED:
        for font in manager.fontManager.ttflist:
            if font.name == wanted and signs <= _signs(font.fname):
                return wanted
    # matplotlib lists fonts once, and keeps the list: what was installed later is not on it.
    listed = {font.fname for font in manager.fontManager.ttflist}
    for path in sorted(set(manager.findSystemFonts()) - listed):
        if signs <= _signs(path):
            manager.fontManager.addfont(path)
            name: str = manager.get_font(path).family_name
            return name
    return None


def _signs(path: str) -> frozenset[int]:
    manager = require("matplotlib.font_manager", "plot")
    try:
        return frozenset(manager.get_font(path).get_charmap())
    except (OSError, RuntimeError):
        # Removed since matplotlib listed it, or damaged.
        return frozenset()
