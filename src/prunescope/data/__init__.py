"""Which text is there without a download? Prose of the Jargon File 4.4.7, in two disjoint parts.

The Jargon File (http://www.catb.org/jargon/) is in the public domain. `calibration.txt` and
`evaluation.txt` hold paragraphs of its lexicon, unwrapped, without its cross-reference marks,
and without tables and vulgar entries; no paragraph is in both.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Literal

from prunescope.errors import PrunescopeError

# What to learn from, and what to judge by.
Part = Literal["calibration", "evaluation"]


def embedded_text(part: Part) -> str:
    """The embedded prose: about 59,000 (calibration) or 30,000 (evaluation) SmolLM2 tokens."""
    return (files(__name__) / f"{part}.txt").read_text("utf-8")


def read_text(path: Path) -> str:
    """A user's text file.

    Raises:
        PrunescopeError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text("utf-8")
    except OSError as err:
        raise PrunescopeError(f"{path}: cannot be read ({err.strerror})") from None
    except UnicodeDecodeError as err:
        raise PrunescopeError(f"{path}: is not UTF-8 text (byte {err.start})") from None
