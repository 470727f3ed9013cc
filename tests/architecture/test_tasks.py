"""Models that judge texts have a classifier where others have an output head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForTokenClassification,
)

from prunescope.analysis.cost import cost
from prunescope.analysis.trace.run import trace
from prunescope.analysis.verify import verify
from prunescope.analysis.workload import Workload
from prunescope.architecture import Role, describe
from prunescope.checkpoint import open_checkpoint
from tests.support.families import family_network
from tests.support.tiny import SHAPE

ALIKE = {key: SHAPE[key] for key in SHAPE if key != "head_dim"} | {"hidden_size": 32}
NETWORKS = {
    "llama": lambda: LlamaForSequenceClassification(LlamaConfig(**SHAPE)),
    "qwen2": lambda: Qwen2ForTokenClassification(Qwen2Config(**ALIKE)),
    "gpt2": lambda: GPT2ForSequenceClassification(
        GPT2Config(n_embd=24, n_layer=2, n_head=3, vocab_size=320)
    ),
}


@pytest.mark.parametrize("family", NETWORKS)
def test_a_classifier_is_read_and_lacks_no_output_head(tmp_path: Path, family: str) -> None:
    network = NETWORKS[family]()
    network.save_pretrained(tmp_path)
    model = describe(open_checkpoint(tmp_path))
    assert model.family.name == family
    assert model.parameters == sum(p.numel() for p in network.parameters())
    hidden = network.config.hidden_size
    # Two labels; a bias where each token is judged.
    found = {t.name: t.shape for t in model.outside[Role.CLASSIFIER].tensors}
    bias = {"score.bias": (2,)} if family == "qwen2" else {}
    assert found == {"score.weight": (2, hidden)} | bias
    assert not verify(open_checkpoint(tmp_path)).failed
    # No logits of the vocabulary are made, whether config.json ties the embedding to a head or not.
    price = cost(open_checkpoint(tmp_path), Workload(8, 1))
    assert price.prefill.flops_per_token == price.decode.flops_per_token


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (NETWORKS["llama"], "score.weight"),
        (lambda: family_network("qwen2_moe"), "mlp.shared_expert_gate.weight"),
    ],
)
def test_an_axis_of_no_space_has_no_units_to_trace(
    tmp_path: Path, make: Callable[[], PreTrainedModel], name: str
) -> None:
    make().save_pretrained(tmp_path)
    found = trace(open_checkpoint(tmp_path), open_checkpoint(tmp_path))
    assert "_" not in {space for layer in (found, *found.layers) for space in layer.spaces}
    # It is compared all the same.
    members = [member for layer in (found, *found.layers) for member in layer.others]
    assert all(member.identical for member in members)
    assert any(member.tensor.endswith(name) for member in members)


def test_a_value_head_of_trl_is_read(tmp_path: Path) -> None:
    network = LlamaForSequenceClassification(LlamaConfig(**SHAPE, num_labels=1)).model
    state = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    heads = {
        "lm_head.weight": torch.ones(320, 24),
        "v_head.summary.weight": torch.ones(1, 24),
        "v_head.summary.bias": torch.ones(1),
    }
    torch.save(state | heads, tmp_path / "pytorch_model.bin")
    model = describe(open_checkpoint(tmp_path))
    assert model.family.name == "llama"
    assert model.outside[Role.CLASSIFIER].parameters == 25
