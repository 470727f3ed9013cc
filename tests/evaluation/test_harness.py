"""Tasks are lm-evaluation-harness's own, run on a model that only prunescope can load."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

import prunescope
from prunescope.errors import MissingExtra, PrunescopeError
from prunescope.evaluation.harness import Harness
from tests.support.pruning import described, plan, prune_tiny
from tests.support.tiny import tiny_folder, tiny_tokenizer

# It brings some 400 MB, so `make setup` leaves it out: pip install '.[tasks]'.
HAS_HARNESS = find_spec("lm_eval") is not None
needs_harness = pytest.mark.skipif(not HAS_HARNESS, reason="lm_eval is not installed")
CHOICES = [" wet", " as dry as dust", " blue"]


@pytest.mark.skipif(HAS_HARNESS, reason="lm_eval is installed")
def test_without_it_the_extra_is_named() -> None:
    with pytest.raises(MissingExtra) as caught:
        Harness(["hellaswag"])
    assert str(caught.value) == "lm_eval is not installed: run  pip install 'prunescope[tasks]'"


@needs_harness
def test_a_local_task_is_scored_as_by_hand(tmp_path: Path) -> None:
    items = [{"question": f"Water is {n}", "choices": CHOICES, "label": n % 3} for n in range(6)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (tmp_path / "water.yaml").write_text(
        "task: water\ndataset_path: json\ndataset_kwargs:\n  data_files:\n"
        f"    test: {tmp_path / 'items.jsonl'}\ntest_split: test\noutput_type: multiple_choice\n"
        'doc_to_text: "{{question}}"\ndoc_to_target: "{{label}}"\ndoc_to_choice: "{{choices}}"\n'
        "target_delimiter: ''\nmetric_list:\n  - metric: acc\n"
    )
    prune_tiny(described(tiny_folder(tmp_path / "m")), plan()).save(tmp_path / "out")
    network, tokenizer = prunescope.load(tmp_path / "out"), tiny_tokenizer()

    def surprise(question: str, choice: str) -> float:
        given = len(tokenizer(question).input_ids)
        ids = tokenizer(question + choice, return_tensors="pt").input_ids
        chances = network(ids).logits[0].log_softmax(-1)
        return -sum(chances[n - 1, ids[0, n]].item() for n in range(given, ids.shape[1]))

    right = 0
    for item in items:
        costs = [surprise(item["question"], choice) for choice in CHOICES]
        right += costs.index(min(costs)) == item["label"]
    (score,) = Harness([str(tmp_path / "water.yaml")]).scores(network, tokenizer, 2)
    assert (score.task, score.metric) == ("water", "acc")
    assert score.value == pytest.approx(right / 6)
    assert score.error is not None


@needs_harness
@pytest.mark.parametrize("text", ["", "[1, 2]", "task: 5", "a: !function os.system", "{"])
def test_a_file_that_is_no_task_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "task.yaml").write_text(text)
    for name in (tmp_path / "task.yaml", tmp_path / "missing.yaml"):
        with pytest.raises(PrunescopeError) as caught:
            Harness([str(name)])
        assert "\n" not in str(caught.value)


@needs_harness
def test_an_unknown_task_is_named() -> None:
    with pytest.raises(PrunescopeError, match="task 'juggling' is unknown"):
        Harness(["juggling"])
