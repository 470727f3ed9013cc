"""How does the page become one file? A template, with scripts and styles inside and pinned.

The page's policy (https://www.w3.org/TR/CSP3/) lets exactly the scripts run that are put in here,
by their digests, and nothing be fetched: what a checkpoint's names say can be shown only. The same
figures give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from prunescope.atomic import replacing
from prunescope.extras import require
from prunescope.report.html.figures import gigabytes, number
from prunescope.report.html.names import shown
from prunescope.report.html.page import Page
from prunescope.report.html.said import said
from prunescope.report.messages import Language

jinja2 = require("jinja2", "report")

_HERE = Path(__file__).parent
_SCRIPTS = ("vendor/d3.min.js", "vendor/plot.umd.min.js", "static/charts.js", "static/page.js")
_LICENSES = ("vendor/d3.LICENSE", "vendor/plot.LICENSE")


@dataclass(frozen=True, slots=True)
class _Script:
    text: str
    digest: str


def write_page(content: Page, path: Path, language: Language) -> None:
    """Write the report to `path`, replacing it whole.

    Args:
        language: the one that is seen first.

    Raises:
        PrunescopeError: `path` cannot be written.
    """
    text = render(content, language)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def render(content: Page, language: Language) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "sort_keys": True}
    environment.globals |= {"say": said, "figure": number, "gigabytes": gigabytes, "shown": shown}
    scripts = [_script(_read(name)) for name in _SCRIPTS]
    return str(
        environment.get_template("page.html").render(
            page=content,
            language=language,
            scripts=scripts,
            style=_read("static/style.css"),
            licenses=[_read(name) for name in _LICENSES],
        )
    )


def _read(name: str) -> str:
    return (_HERE / name).read_text("utf-8")


def _script(text: str) -> _Script:
    # The digest is of what stands between the tags, with the template's line ends.
    text = text.strip()
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return _Script(text, base64.b64encode(digest).decode("ascii"))
