import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from agentrft.domain.errors import JobFailed
from agentrft.domain.training import LoraConfig
from agentrft.modeling.adapters import Adapters, load_adapters, merge, new_adapters, save_adapters
from agentrft.modeling.weights import FUSED, BaseWeights, load_weights
from tests.modeling.tiny import our_logits, some_ids

LORA = LoraConfig(rank=4, alpha=6.0)


@pytest.fixture
def base(model_folders: dict[str, Path], family: str) -> BaseWeights:
    return load_weights(model_folders[family], torch.float32)


@pytest.fixture
def adapters(base: BaseWeights) -> Adapters:
    """Trained, that is with B not zero."""
    fresh = new_adapters(base, LORA, seed=1)
    for layer in fresh.layers:
        for adapter in layer.values():
            adapter.b_Or.normal_(std=0.1, generator=torch.Generator().manual_seed(2))
    return fresh


def test_fresh_adapters_change_nothing_and_repeat_by_seed(base: BaseWeights) -> None:
    ids = some_ids(9)
    one, same, other = (new_adapters(base, LORA, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(our_logits(base, ids, one), our_logits(base, ids))
    assert torch.equal(one.layers[0]["qkv"].a_rI, same.layers[0]["qkv"].a_rI)
    assert not torch.equal(one.layers[0]["qkv"].a_rI, other.layers[0]["qkv"].a_rI)
    assert len(one.parameters()) == 2 * len(FUSED) * base.config.layers


def test_merging_adds_the_scaled_product(base: BaseWeights, adapters: Adapters) -> None:
    merged = merge(base, adapters)
    for old, new, layer in zip(base.layers, merged.layers, adapters.layers, strict=True):
        for name in FUSED:
            expected = old.linear[name] + 1.5 * layer[name].b_Or @ layer[name].a_rI
            torch.testing.assert_close(new.linear[name], expected)
    assert merged.embedding_VH is base.embedding_VH


def test_what_is_saved_is_loaded_again(base: BaseWeights, adapters: Adapters, tmp_path: Path) -> None:
    save_adapters(adapters, base.config, tmp_path / "new" / "folder")
    back = load_adapters(tmp_path / "new" / "folder", base.config)
    assert back.lora == LORA
    assert all(torch.equal(a, b) for a, b in zip(back.parameters(), adapters.parameters(), strict=True))
    assert not list(tmp_path.rglob("*.partial"))


def test_the_files_are_what_peft_reads(base: BaseWeights, adapters: Adapters, tmp_path: Path) -> None:
    save_adapters(adapters, base.config, tmp_path)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    described = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (described["peft_type"], described["r"], described["lora_alpha"]) == ("LORA", 4, 6.0)
    assert set(described["target_modules"]) == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip
    c = base.config
    shapes = {"q_proj": c.heads * c.head_dim, "k_proj": c.kv_heads * c.head_dim, "v_proj": c.kv_heads * c.head_dim}
    for name, rows in shapes.items():
        prefix = f"base_model.model.model.layers.1.self_attn.{name}"
        assert tensors[f"{prefix}.lora_A.weight"].shape == (4, c.hidden)
        assert tensors[f"{prefix}.lora_B.weight"].shape == (rows, 4)
    assert len(tensors) == 2 * 7 * c.layers


def test_an_adapter_of_another_model_is_refused(base: BaseWeights, adapters: Adapters, tmp_path: Path) -> None:
    save_adapters(adapters, base.config, tmp_path)
    deeper = replace(base.config, layers=base.config.layers + 1)
    with pytest.raises(JobFailed, match="lacks the tensor"):
        load_adapters(tmp_path, deeper)


def test_an_adapter_of_another_width_is_refused(base: BaseWeights, adapters: Adapters, tmp_path: Path) -> None:
    save_adapters(adapters, base.config, tmp_path)
    with pytest.raises(JobFailed, match="shape"):
        load_adapters(tmp_path, replace(base.config, intermediate=base.config.intermediate + 8))


def test_an_adapter_whose_projections_differ_is_refused(base: BaseWeights, adapters: Adapters, tmp_path: Path) -> None:
    save_adapters(adapters, base.config, tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors["base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight"] += 1
    save_file(tensors, file)
    with pytest.raises(JobFailed, match="not written by agentrft"):
        load_adapters(tmp_path, base.config)
