"""How is a config.json written? With the code beside it that its `auto_map` names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prunescope.interop.companions import CODE
from prunescope.interop.hf_config import AUTO_MAP

# importlib.resources would take longer to import than the files to read.
_CARRIED = Path(__file__).with_name("carried")


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write config.json, and those of our files that its `auto_map` names."""
    write_json(folder / "config.json", config)
    named = config.get(AUTO_MAP)
    names = named.values() if isinstance(named, Mapping) else ()
    modules = {str(name).partition(".")[0] for name in names}
    for code in CODE:
        if code.removesuffix(".py") in modules:
            (folder / code).write_bytes((_CARRIED / code).read_bytes())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value`, indented but for lists of numbers."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    # Ten thousand kept channels belong on one line, not on ten thousand.
    text = re.sub(r"\[\n([\d\s,]+)\]", lambda found: f"[{' '.join(found[1].split())}]", text)
    path.write_text(text + "\n", encoding="utf-8")
