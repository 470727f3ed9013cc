"""What does a pruned model's README say? What it was, what was removed, and how to load it.

The block at its head is the Hub's: https://huggingface.co/docs/hub/model-cards#model-card-metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from prunescope.analysis.compare_result import Comparison
from prunescope.analysis.record import RECORD
from prunescope.errors import printable
from prunescope.interop.companions import RECORD_BEFORE_PADDING
from prunescope.interop.hf_save import CARD_MARK
from prunescope.interop.padding import Padding
from prunescope.report.messages import Messages

_HEAD = (
    "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- pruning{mark}---\n"
)
_CODE = """from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("PATH"{trust})"""
_TRUST = ", trust_remote_code=True"


def model_card(
    comparison: Comparison,
    plan: object,
    has_code: bool,
    padding: Padding | None,
    say: Messages,
) -> str:
    """A model card in Markdown.

    Args:
        plan: as pruning.json holds it; what it does not say is left out.
        has_code: whether transformers needs the code in the folder.
        padding: zeros among the weights, which the figures count too.
    """
    name = _plain(comparison.original.checkpoint.path.rstrip("/").rpartition("/")[2])
    counts = comparison.parameters
    totals = {
        "card_base": name,
        **_method(plan),
        "original_parameters": f"{counts.original:,}",
        "pruned_parameters": f"{counts.pruned:,}",
        "retention": f"{counts.retention:.4f}",
        "sparsity": f"{counts.sparsity:.4f}",
    }
    columns = ("layer_number", "original_parameters", "pruned_parameters", "retention", "sparsity")
    layers = [
        (
            str(layer.layer),
            f"{layer.parameters.original:,}",
            f"{layer.parameters.pruned:,}",
            f"{layer.parameters.retention:.4f}",
            f"{layer.parameters.sparsity:.4f}",
        )
        for layer in comparison.layers
    ]
    intro = say("card_intro", name=name)
    if padding is not None:
        intro += " " + say("card_padded", n=padding.parameters)
    record = RECORD_BEFORE_PADDING if padding else RECORD
    table = "".join(f"| {say(key)} | {value} |\n" for key, value in totals.items())
    rows = [map(say, columns), ("---:" for _ in columns), *layers]
    parts = [
        _HEAD.format(mark=CARD_MARK.decode()),
        "# " + say("card_title", name=name) + "\n",
        intro + "\n",
        "| | |\n|---|---|\n" + table,
        "## " + say("card_load") + "\n",
        f"```python\n{_CODE.format(trust=_TRUST if has_code else '')}\n```\n",
        "## " + say("card_layers") + "\n",
        "".join(map(_row, rows)),
        say("card_record", file=record) + "\n",
    ]
    return "\n".join(parts)


def _method(plan: object) -> dict[str, str]:
    """The share of the units that each pruned layer was to lose, and how they were chosen."""
    told = plan if isinstance(plan, dict) else {}
    found = {}
    if isinstance(told.get("ratio"), int | float):
        found["card_ratio"] = f"{told['ratio']:g}"
    method = told.get("importance", told.get("depth_by"))
    if isinstance(method, str):
        found["card_method"] = _plain(method)
    return found


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _plain(text: str) -> str:
    """A name that is no markup, whatever the folder is called."""
    return re.sub(r"([\\`*_{}\[\]<>()#|!~])", r"\\\1", printable(text))
