import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from agentrft.domain.errors import JobFailed
from agentrft.modeling.weights import load_weights, save_weights
from tests.modeling.tiny import our_logits, some_ids, write_model


@pytest.mark.parametrize("tied", [True, False])
def test_saved_weights_are_a_model_to_transformers(tmp_path: Path, family: str, tied: bool) -> None:
    write_model(tmp_path / "old", family, tie_word_embeddings=tied)
    base = load_weights(tmp_path / "old", torch.float32)
    (tmp_path / "new").mkdir()
    shutil.copyfile(tmp_path / "old" / "config.json", tmp_path / "new" / "config.json")
    save_weights(base, tmp_path / "new")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "new", dtype=torch.float32)
    ids = some_ids(20)
    with torch.no_grad():
        expected = theirs(torch.tensor([ids])).logits[0]
    assert (our_logits(base, ids) - expected).abs().max() < 1e-4
    again = load_weights(tmp_path / "new", torch.float32)
    assert torch.equal(our_logits(again, ids), our_logits(base, ids))


def test_weights_come_in_the_dtype_asked_for(model_folders: dict[str, Path]) -> None:
    base = load_weights(model_folders["qwen2"])
    assert base.embedding_VH.dtype == base.layers[0].linear["qkv"].dtype == torch.bfloat16
    assert base.head_VH is base.embedding_VH


def test_a_missing_tensor_is_named(model_folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(model_folders["qwen2"], tmp_path / "broken")
    file = tmp_path / "broken" / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, file)
    with pytest.raises(JobFailed, match=r"layers\.1\.mlp\.up_proj") as failed:
        load_weights(tmp_path / "broken")
    assert failed.value.code == "invalid_model"
