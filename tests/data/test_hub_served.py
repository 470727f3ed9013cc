"""The real `datasets` finds all data sets of ours on a hub on loopback, laid out as on the hub."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.hub import Hub, Model, serve_hub
from tests.support.scripts import environment

pytest.importorskip("datasets", reason="the extra datasets")
READ = """
import json, sys
from prunescope.data.sources import documents
from prunescope.errors import PrunescopeError

found = {}
for asked in sys.argv[1:]:
    name, part = asked.rsplit(" ", 1)
    try:
        found[asked] = documents(name, part).texts
    except PrunescopeError as err:
        found[asked] = str(err)
print(json.dumps(found))
"""
CONFIGS = ("wikitext-103-raw-v1", "wikitext-2-raw-v1")


def parquet(path: Path, column: str, *texts: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({column: list(texts)}), path)


def served(root: Path, hub: Hub) -> None:
    """The repositories, with the files that they have on the hub, shortened."""
    wikitext, ptb, c4, alpaca = (root / name for name in ("wikitext", "ptb", "c4", "alpaca"))
    card: list[dict[str, Any]] = []
    for config in CONFIGS:
        splits = ("test", "train", "validation")
        for split in splits:
            file = wikitext / config / f"{split}-00000-of-00001.parquet"
            parquet(file, "text", "", f"{config} {split}")
        files = [{"split": split, "path": f"{config}/{split}-*"} for split in splits]
        card.append({"config_name": config, "data_files": files})
    # JSON is YAML.
    (wikitext / "README.md").write_text(f"---\nconfigs: {json.dumps(card)}\n---\n")
    for split in ("train", "validation", "test"):
        parquet(ptb / "penn_treebank" / split / "0000.parquet", "sentence", f"ptb {split}")
    (c4 / "en").mkdir(parents=True)
    for split, count in (("train", "01024"), ("validation", "00008")):
        for number in (0, 1):
            name = f"c4-{split}.{number:05}-of-{count}.json.gz"
            line = json.dumps({"text": f"c4 {split} {number}", "url": "u"})
            (c4 / "en" / name).write_bytes(gzip.compress(line.encode()))
    alpaca.mkdir()
    lesson = {"instruction": "Add.", "input": "1 2", "output": "3"}
    (alpaca / "alpaca_data_cleaned.json").write_text(json.dumps([lesson]))
    hub.datasets |= {
        "Salesforce/wikitext": Model(wikitext),
        "ptb-text-only/ptb_text_only": Model(ptb, revisions=("refs/convert/parquet",)),
        "allenai/c4": Model(c4),
        "yahma/alpaca-cleaned": Model(alpaca),
    }


def test_each_data_set_is_found_where_the_hub_has_it(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    gone = "hf://datasets/org/none"
    expected: dict[str, Any] = {
        # Each article of it is led in by an empty record, which those who measure by it join too.
        "wikitext2 calibration": ["", "wikitext-2-raw-v1 train"],
        "wikitext2 evaluation": ["", "wikitext-2-raw-v1 test"],
        "ptb calibration": ["ptb train"],
        "ptb evaluation": ["ptb validation"],
        # One file of it, not all.
        "c4 calibration": ["c4 train 0"],
        "c4 evaluation": ["c4 validation 0"],
        "hf://datasets/Salesforce/wikitext:wikitext-103-raw-v1:test calibration": [
            "wikitext-103-raw-v1 test"
        ],
        f"{gone} calibration": (
            f"{gone}: Dataset 'org/none' doesn't exist on the Hub or cannot be accessed."
        ),
    }
    lacking, lesson = "hf://datasets/Salesforce/wikitext calibration", "alpaca calibration"
    with serve_hub(root) as hub:
        served(root, hub)
        own = {
            "HF_ENDPOINT": hub.site.url,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_OFFLINE": "0",
        }
        done = subprocess.run(
            [sys.executable, "-c", READ, *expected, lacking, lesson],
            env=environment() | own, capture_output=True, text=True, check=True, cwd=tmp_path,
        )  # fmt: skip
    found = json.loads(done.stdout)
    assert found.pop(lacking).startswith(
        "hf://datasets/Salesforce/wikitext: Config name is missing. Please pick one among"
    )
    (text,) = found.pop(lesson)
    assert text.endswith("### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n3")
    assert found == expected
