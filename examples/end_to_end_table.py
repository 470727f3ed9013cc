"""What did each step of end_to_end.sh come to? One table from the JSON of its commands."""

from __future__ import annotations

import json
import os
import sys
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any

from prunescope.report.console import Justify, Screen
from prunescope.report.markdown import Markdown

HEADS = {
    "en": ["model", "parameters", "bytes on disk", "perplexity", "tokens/s"],
    "zh": ["模型", "参数量", "磁盘字节数", "困惑度", "tokens/s"],
}
GGUF_HEADS = {
    "en": ["GGUF bytes", "llama.cpp tokens/s"],
    "zh": ["GGUF 字节数", "llama.cpp tokens/s"],
}
NAMES = {"en": ["original", "pruned", "recovered"], "zh": ["原始", "剪枝后", "恢复后"]}


def models(folder: Path, *names: str) -> list[dict[str, Any]]:
    """What the files say of each model, in their order."""
    read = (json.loads((folder / name).read_text("utf-8")) for name in names)
    return [model for value in read for model in value["models"]]


def main() -> None:
    """`end_to_end_table.py FOLDER`: print the table, and write it to `table.md` there."""
    folder, language = Path(sys.argv[1]), os.environ.get("PRUNESCOPE_LANG", "zh")
    sizes = models(folder, "size.json", "size_recovered.json")
    measured = models(folder, "eval.json", "eval_recovered.json")
    heads = HEADS[language]
    rows = [
        [
            name,
            f"{size['parameters']:,}",
            f"{size['weight_bytes']:,}",
            f"{float(found['perplexity']['value']):,.2f}",
            f"{median(found['speed']['decode_tokens_per_second']):,.1f}",
        ]
        for name, size, found in zip(NAMES[language], sizes, measured, strict=True)
    ]
    if (folder / "llama_cpp.json").exists():
        heads = heads + GGUF_HEADS[language]
        for row, one in zip(rows, models(folder, "llama_cpp.json"), strict=True):
            row += [f"{one['bytes']:,}", f"{one['tokens_per_second']:,.1f}"]
    right: list[Justify] = ["right"] * (len(heads) - 1)
    text = StringIO()
    Markdown(text).table(heads, rows, ["left", *right])
    (folder / "table.md").write_text(text.getvalue(), "utf-8")
    Screen().table(heads, rows, ["left", *right])


if __name__ == "__main__":
    main()
