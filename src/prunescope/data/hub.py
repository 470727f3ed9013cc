"""Which data sets have a name of their own here, and how do they come from a hub?

The texts that papers on pruning measure by, split and joined as GPTQ's datautils.py does
(https://github.com/IST-DASLab/gptq: get_wikitext2, get_ptb, get_c4_new, the last one to its end),
and the instructions that LLM-Pruner recovers with.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from prunescope.data import Part
from prunescope.errors import PrunescopeError, first_line, printable
from prunescope.extras import require


@dataclass(frozen=True, slots=True)
class DataSet:
    """Where a data set is, as `datasets.load_dataset` takes it.

    Attributes:
        path: repository on the hub.
        splits: part → split.
        joint: what stands between two documents.
        config: name of the configuration.
        revision: branch of the repository.
        files: split → the one file of it that is read, of a data set too large to be read whole.
        limits: part → how many documents are taken, the first.
    """

    path: str
    splits: Mapping[Part, str]
    joint: str = "\n\n"
    config: str | None = None
    revision: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[Part, int] = field(default_factory=dict)


# How any other data set is named.
HUB = "hf://datasets/"
# Characters of it that are read, about four million tokens.
MAX_STREAMED = 16 << 20

DATA_SETS: Mapping[str, DataSet] = {
    "wikitext2": DataSet(
        "Salesforce/wikitext",
        {"calibration": "train", "evaluation": "test"},
        config="wikitext-2-raw-v1",
    ),
    # Its script no longer runs; the hub keeps its own conversion in a branch.
    "ptb": DataSet(
        "ptb-text-only/ptb_text_only",
        {"calibration": "train", "evaluation": "validation"},
        revision="refs/convert/parquet",
    ),
    "c4": DataSet(
        "allenai/c4",
        {"calibration": "train", "evaluation": "validation"},
        joint=" ",
        files={
            "train": "en/c4-train.00000-of-01024.json.gz",
            "validation": "en/c4-validation.00000-of-00008.json.gz",
        },
        limits={"calibration": 20_000, "evaluation": 1_100},
    ),
    "alpaca": DataSet("yahma/alpaca-cleaned", {"calibration": "train"}),
}


def hub_records(name: str, part: Part) -> Iterator[dict[str, Any]]:
    """The records of a data set, from the hub or its cache.

    Raises:
        PrunescopeError: it has no such part, or cannot be had, as without a network.
        MissingExtra: datasets is not installed.
    """
    wanted = DATA_SETS[name]
    if part not in wanted.splits:
        raise PrunescopeError(f"{name}: has no documents that are kept for {part}")
    split = wanted.splits[part]
    datasets = require("datasets", "datasets")
    datasets.disable_progress_bars()
    # They tell of each time that they ask again.
    for chatty in ("datasets", "huggingface_hub"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    options: dict[str, Any] = {"revision": wanted.revision, "split": split}
    if wanted.files:
        options["data_files"] = {split: wanted.files[split]}
    try:
        rows = datasets.load_dataset(wanted.path, wanted.config, **options)
    except Exception as err:  # of the network, the cache, the hub and the data
        raise PrunescopeError(
            f"{name}: the data set {wanted.path} cannot be had ({first_line(err)}); "
            "without a network, name a file of text"
        ) from None
    yield from islice(rows, wanted.limits.get(part))


def streamed_records(address: str) -> Iterator[dict[str, Any]]:
    """The first records of any data set of the hub, as many as have `MAX_STREAMED` characters.

    Args:
        address: `hf://datasets/ORG/NAME[:CONFIG[:SPLIT]]`; the split is `train` by default.

    Raises:
        PrunescopeError: it cannot be had, as without a network.
        MissingExtra: datasets is not installed.
    """
    name, *rest = address.removeprefix(HUB).split(":")
    config = rest[0] if rest and rest[0] else None
    split = rest[1] if len(rest) > 1 and rest[1] else "train"
    datasets = require("datasets", "datasets")
    characters = 0
    try:
        for row in datasets.load_dataset(name, config, split=split, streaming=True):
            yield row
            characters += sum(len(value) for value in row.values() if isinstance(value, str))
            if characters >= MAX_STREAMED:
                return
    except Exception as err:  # of the hub, of the network, of a file in it
        # Where a configuration is wanted, the second line names those there are.
        said = first_line(err, 400, lines=2)
        raise PrunescopeError(f"{printable(address)}: {said}") from None
