"""On a real model: streamed scores of every Taylor form are those of plain autograd."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from prunescope.checkpoint import open_checkpoint
from prunescope.interop.tokenizer import load_tokenizer
from prunescope.pruning.calibration import choose_windows
from tests.support.streams import difference, plan, scores_of

# Of three layers and of what is outside them: to compare all would take a minute.
LAYERS = (0, 13, 29)
PARTS = ("self_attn.k_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj")
NAMES = [f"model.layers.{n}.{part}.weight" for n in LAYERS for part in PARTS]
NAMES += ["model.norm.weight", "model.layers.13.input_layernorm.weight"]


def test_every_form_is_that_of_plain_autograd(smollm2: Path) -> None:
    text = "Water boils at a hundred degrees, and ice melts at none. " * 10
    tokens = load_tokenizer(smollm2)(text)["input_ids"]
    calibration = choose_windows(tokens, 2, 12, 0, "water")
    network = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32).eval()
    network.requires_grad_(False)
    parameters = {name: p for name, p in network.named_parameters() if name in NAMES}
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    examples = []
    for window in torch.tensor(calibration.windows):
        loss = network(input_ids=window[None], labels=window[None]).loss
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        examples.append((loss.item(), dict(zip(parameters, gradients, strict=True))))
    checkpoint = open_checkpoint(smollm2)
    axes = {name: set(range(len(checkpoint.tensors[name].shape))) for name in NAMES}
    for form in ("vectorize", "param_first", "param_second", "param_mix"):
        scores = scores_of(checkpoint, plan("taylor", form), axes, calibration)
        # Windows of one length: the loss over all is the mean of theirs.
        assert scores.loss == pytest.approx(sum(loss for loss, _ in examples) / 2, rel=1e-6)
        for (name, axis), row in scores.rows.items():
            w = parameters[name].detach()
            g = sum(found[name] for _, found in examples) / 2
            h = sum(found[name].square() for _, found in examples) / 2
            elements = {
                "vectorize": w * g,
                "param_first": (w * g).abs(),
                "param_second": w * h * w,
                "param_mix": (w * g - 0.5 * w * h * w).abs(),
            }[form]
            others = [a for a in range(w.dim()) if a != axis]
            expected = elements.sum(others).abs() if others else elements.abs()
            assert difference(row, expected) < 1e-5, (form, name, axis)
