"""How is any text written so that LaTeX shows it, and does nothing else?

What LaTeX would read as a command is escaped, since names in a file come from strangers. Signs
that its first fonts lack are written as mathematics. Letters that they lack are named by number:
pdflatex fails at them, and xelatex leaves a gap, so that two names may look alike.
"""

from __future__ import annotations

import re
from unicodedata import name

_MARKS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "_": r"\_", "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": "$<$", ">": "$>$", "|": "$|$", "`": r"\textasciigrave{}",
    # After the end of a row these would be its option and its star.
    "[": "{[}", "]": "{]}", "*": "{*}",
}  # fmt: skip
_BREAK = "\u200b"
_SIGNS = {
    "×": r"$\times$", "→": r"$\rightarrow$", "−": "$-$", "±": r"$\pm$", "‖": r"$\Vert$",
    "≥": r"$\geq$", "≤": r"$\leq$", "Σ": r"$\Sigma$", "…": r"\ldots{}",
    "✓": r"$\surd$", "✅": r"$\surd$", "✗": r"$\times$", "❌": r"$\times$", "⚠": "(!)",
    "📊": "", "\ufe0f": "", _BREAK: r"\allowbreak{}",
}  # fmt: skip
_ESCAPES = _MARKS | _SIGNS
# LaTeX knows Latin-1 without a package, but for these (they need another font encoding) …
_LACKING = "«»ÐÞðþ"
# … and of typography these. Chinese is what ctex is for; its fonts have kana too.
_TYPOGRAPHY = "‘’“”–—†‡•™"
_CTEX = ("CJK ", "FULLWIDTH ", "HIRAGANA ", "IDEOGRAPHIC ", "KATAKANA ")
# A word as long as a tensor's name may be broken: behind its joints, else anywhere.
_LONG_WORD = re.compile(r"\S{31,}")
_JOINT = re.compile(r"([._/,:]|[^._/,:]{24})(?=.)")


def escape(text: str) -> str:
    """`text` on one line, as LaTeX that shows it to the letter."""
    line = _LONG_WORD.sub(lambda word: _JOINT.sub(rf"\1{_BREAK}", word[0]), " ".join(text.split()))
    shown = "".join(_ESCAPES[c] if c in _ESCAPES else _letter(c) for c in line).strip()
    # Two hyphens would be a dash, two commas or apostrophes a quotation mark.
    return re.sub(r"([-,'])(?=\1)", r"\1{}", shown)


def _letter(c: str) -> str:
    known = (c <= "ÿ" and c.isprintable() and c not in _LACKING) or c in _TYPOGRAPHY
    return c if known or name(c, "").startswith(_CTEX) else f"U+{ord(c):04X}"
