"""What lies beside the weights is used: generation settings and the tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import prunescope
from prunescope.architecture import Role
from prunescope.errors import CheckpointError, PrunescopeError
from prunescope.interop.tokenizer import load_tokenizer, token_ids
from tests.support.pruning import described, edit_weights
from tests.support.tiny import edit_json, tiny_folder, tiny_network, tiny_tokenizer

GENERATION = "generation_config.json"
TEXT = "Water boils when — naïve – 水"


def test_generation_settings_are_used(tmp_path: Path) -> None:
    tokens = torch.arange(10, 20)[None]
    tiny_folder(tmp_path)
    free = prunescope.load(tmp_path).generate(tokens, max_new_tokens=20, do_sample=False)
    assert free.shape == (1, 30)
    # The fourth token written, where it is written first, ends the text once it is called so.
    written = free[0, 10:].tolist()
    ending = written[3]
    settings = {"eos_token_id": [0, ending], "pad_token_id": 0}
    edit_json(tmp_path / GENERATION, settings)
    network = prunescope.load(tmp_path)
    assert network.generation_config.eos_token_id == [0, ending]
    short = network.generate(tokens, max_new_tokens=20, do_sample=False)
    assert short[0, 10:].tolist() == written[: written.index(ending) + 1]


def test_without_generation_settings_the_config_says_where_a_text_ends(tmp_path: Path) -> None:
    (tiny_folder(tmp_path) / GENERATION).unlink()
    edit_json(tmp_path / "config.json", {"eos_token_id": 7})
    assert prunescope.load(tmp_path).generation_config.eos_token_id == 7


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("{", "generation_config.json is not JSON ("),
        ("[]", "generation_config.json is not a JSON object"),
        ('{"max_new_tokens": -1}', "transformers refuses it: `max_new_tokens` must be greater"),
        ('{"pad_token_id": "x"}', "transformers refuses it: "),
        ('{"watermarking_config": {"x": 1}}', "transformers refuses it: "),
    ],
)
def test_generation_settings_that_are_unfit_are_one_line(
    tmp_path: Path, text: str, cause: str
) -> None:
    (tiny_folder(tmp_path) / GENERATION).write_text(text)
    with pytest.raises(CheckpointError) as caught:
        prunescope.load(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / GENERATION}: {cause}")
    assert "\n" not in str(caught.value)


def test_the_tokenizer_is_the_folders_own(tmp_path: Path) -> None:
    model = described(tiny_folder(tmp_path))
    expected = tiny_tokenizer()(TEXT)["input_ids"]
    assert load_tokenizer(tmp_path)(TEXT)["input_ids"] == expected
    assert token_ids(model, TEXT) == expected
    # Of a weight file, that of the folder it lies in.
    assert token_ids(described(tmp_path / "model.safetensors"), TEXT) == expected
    assert token_ids(model, "") == []


@pytest.mark.parametrize("content", [None, "{", "[]", '{"model": 3}'])
def test_a_tokenizer_that_cannot_be_used_is_one_line(tmp_path: Path, content: str | None) -> None:
    tiny_folder(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(PrunescopeError) as caught:
        load_tokenizer(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: no usable tokenizer (")
    assert str(caught.value).endswith("): put the model's own tokenizer there")
    assert "\n" not in str(caught.value)


def test_a_folder_without_any_tokenizer_says_which_files_it_lacks(tmp_path: Path) -> None:
    tiny_network().save_pretrained(tmp_path)
    with pytest.raises(PrunescopeError, match=r"\(no tokenizer\.json or tokenizer\.model\): put"):
        load_tokenizer(tmp_path)


def test_code_beside_a_tokenizer_is_not_run(tmp_path: Path) -> None:
    tiny_folder(tmp_path)
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: ...\n")
    for file, key in (("tokenizer_config.json", "AutoTokenizer"), ("config.json", "AutoConfig")):
        edit_json(tmp_path / file, {"auto_map": {key: ["evil.Evil", None]}})
    load_tokenizer(tmp_path)
    prunescope.load(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_token_without_an_embedding_is_refused(tmp_path: Path) -> None:
    highest = max(tiny_tokenizer()(TEXT)["input_ids"])
    tiny_folder(tmp_path, vocab_size=highest)
    with pytest.raises(PrunescopeError) as caught:
        token_ids(described(tmp_path), TEXT)
    assert str(caught.value) == (
        f"{tmp_path}: the tokenizer gives token {highest}, {highest} are embedded"
    )


def test_a_model_without_an_embedding_is_refused(tmp_path: Path) -> None:
    edit_weights(tiny_folder(tmp_path), {"model.embed_tokens.weight": None})
    model = described(tmp_path)
    assert Role.EMBEDDING not in model.outside
    with pytest.raises(CheckpointError, match="no token embedding among the tensors"):
        token_ids(model, TEXT)
