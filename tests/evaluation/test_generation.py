"""Text is what transformers generates, and the same for the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

import prunescope
from prunescope.errors import PrunescopeError
from prunescope.evaluation.generation import PROMPTS, generate
from tests.support.pruning import described, plan, prune_tiny
from tests.support.tiny import edit_json, tiny_folder, tiny_network, tiny_tokenizer

PROMPT = "Water boils when"
LENGTH = len(tiny_tokenizer()(PROMPT).input_ids)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("m"))


@pytest.fixture(scope="module")
def network(folder: Path) -> PreTrainedModel:
    return prunescope.load(folder)


def texts(network: PreTrainedModel, **changes: Any) -> list[str]:
    options: dict[str, Any] = {
        "prompts": [PROMPT],
        "max_length": LENGTH + 20,
        "temperature": 1.0,
        "top_p": 0.95,
        "seed": 42,
    }
    return generate(network, tiny_tokenizer(), **options | changes)


def by_transformers(folder: Path, **options: Any) -> str:
    """transformers' own model and its own `generate`."""
    ids = tiny_tokenizer()(PROMPT, return_tensors="pt").input_ids
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    output = model.generate(ids, max_new_tokens=20, pad_token_id=0, **options)
    return tiny_tokenizer().decode(output[0], skip_special_tokens=True)


def test_at_temperature_0_it_is_the_likeliest_text(folder: Path, network: PreTrainedModel) -> None:
    found = texts(network, temperature=0)
    assert found == [by_transformers(folder, do_sample=False)]
    assert found[0].startswith(PROMPT)
    # No seed has a say in it.
    assert texts(network, temperature=0, seed=1) == found


def test_at_temperature_0_sampling_settings_of_the_model_have_no_say(
    tmp_path: Path, folder: Path, network: PreTrainedModel
) -> None:
    tiny_folder(tmp_path)
    sampled = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 3}
    edit_json(tmp_path / "generation_config.json", sampled)
    assert texts(prunescope.load(tmp_path), temperature=0) == texts(network, temperature=0)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 0.95), (0.7, 0.5), (2.0, 1.0)])
def test_sampling_is_transformers_own(
    folder: Path, network: PreTrainedModel, temperature: float, top_p: float
) -> None:
    torch.manual_seed(42)
    expected = by_transformers(folder, do_sample=True, temperature=temperature, top_p=top_p)
    assert texts(network, temperature=temperature, top_p=top_p) == [expected]


def test_the_seed_decides(network: PreTrainedModel) -> None:
    first, again, other = (texts(network, seed=seed) for seed in (7, 7, 8))
    assert first == again
    assert first != other
    assert texts(network, seed=2**64 - 1) == texts(network, seed=2**64 - 1)


def test_a_prompts_text_does_not_depend_on_the_prompts_before_it(network: PreTrainedModel) -> None:
    together = texts(network, prompts=PROMPTS, max_length=40)
    assert len(together) == len(PROMPTS)
    alone = [texts(network, prompts=[prompt], max_length=40)[0] for prompt in PROMPTS]
    assert together == alone


@pytest.mark.parametrize(("max_length", "new"), [(LENGTH + 5, 5), (LENGTH, 1), (2, 1)])
def test_the_length_counts_prompt_and_continuation_and_at_least_one_token_is_written(
    network: PreTrainedModel, monkeypatch: pytest.MonkeyPatch, max_length: int, new: int
) -> None:
    written: list[int] = []
    inner = network.generate

    def spy(**options: Any) -> torch.Tensor:
        output = inner(**options)
        written.append(output.shape[1] - LENGTH)
        return output

    monkeypatch.setattr(network, "generate", spy)
    texts(network, temperature=0, max_length=max_length)
    assert written == [new]


def test_a_text_ends_where_the_models_settings_say(tmp_path: Path, folder: Path) -> None:
    ids = tiny_tokenizer()(PROMPT, return_tensors="pt").input_ids
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    ending = model.generate(ids, max_new_tokens=20, do_sample=False)[0, LENGTH + 3].item()
    edit_json(tiny_folder(tmp_path) / "generation_config.json", {"eos_token_id": ending})
    text = texts(prunescope.load(tmp_path), temperature=0)[0]
    assert len(text) < len(texts(prunescope.load(folder), temperature=0)[0])


def test_a_pruned_model_writes_what_it_writes_once_saved(tmp_path: Path, folder: Path) -> None:
    pruned = prune_tiny(described(folder), plan())
    pruned.save(tmp_path / "out")
    assert texts(pruned.network("cpu")) == texts(prunescope.load(tmp_path / "out"))


def test_a_model_that_cannot_be_sampled_from_is_one_line(tmp_path: Path) -> None:
    broken = tiny_network()
    with torch.no_grad():
        broken.lm_head.weight[3, 3] = torch.nan
    with pytest.raises(PrunescopeError) as caught:
        texts(prunescope.load(tiny_folder(tmp_path, broken)))
    assert str(caught.value).startswith("the model cannot generate text: ")
    assert "\n" not in str(caught.value)
