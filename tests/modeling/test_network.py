from pathlib import Path

import pytest
import torch

from agentrft.modeling.config import ModelConfig
from agentrft.modeling.network import Rotary
from agentrft.modeling.weights import load_weights
from tests.modeling.tiny import our_logits, random_model, some_ids, write_model


@pytest.mark.parametrize("tied", [True, False])
def test_the_forward_pass_equals_transformers(tmp_path: Path, family: str, tied: bool) -> None:
    theirs = write_model(tmp_path, family, tie_word_embeddings=tied)
    ids = some_ids(70)
    with torch.no_grad():
        expected = theirs(torch.tensor([ids])).logits[0]
    difference = (our_logits(load_weights(tmp_path, torch.float32), ids) - expected).abs().max()
    assert expected.std() > 0.1
    assert difference < 1e-4


def test_positions_beyond_the_first_tables_equal_transformers(tmp_path: Path) -> None:
    settings = ModelConfig.from_mapping(random_model("qwen3").config.to_dict())
    rotary = Rotary(settings, torch.float32)
    far, near = torch.tensor([3000, 7]), torch.tensor([7])
    whole = rotary(far)
    assert all(torch.equal(a[1:], b) for a, b in zip(whole, rotary(near), strict=True))
    angle = 3000.0 * settings.rope_theta ** -(torch.arange(0, settings.head_dim, 2).double() / settings.head_dim)
    assert (whole[0][0].double() - angle.cos()).abs().max() < 1e-3
