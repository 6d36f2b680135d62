import json
from pathlib import Path
from typing import Any

import pytest

from agentrft.domain.errors import JobFailed
from agentrft.modeling.config import ModelConfig
from tests.modeling.tiny import CONTEXT_TOKENS


@pytest.fixture
def raw(model_folders: dict[str, Path]) -> dict[str, Any]:
    return dict(json.loads((model_folders["llama"] / "config.json").read_text()))


def test_the_shape_of_a_model_is_read_from_its_folder(model_folders: dict[str, Path], family: str) -> None:
    config = ModelConfig.from_folder(model_folders[family])
    assert (config.family, config.layers, config.hidden, config.heads, config.kv_heads) == (family, 2, 64, 4, 2)
    assert config.head_dim == (24 if family == "qwen3" else 16)
    assert (config.qkv_bias, config.qk_norm, config.tied_head) == (
        family == "qwen2", family == "qwen3", family != "llama",
    )  # fmt: skip
    assert config.max_positions == CONTEXT_TOKENS
    assert config.kv_bytes_per_token == 2 * 2 * 2 * config.head_dim * 2


def test_old_and_new_ways_to_write_the_rotary_base_are_read(raw: dict[str, Any]) -> None:
    raw.pop("rope_parameters", None)
    assert ModelConfig.from_mapping({**raw, "rope_theta": 500.0}).rope_theta == 500.0
    new = {"rope_parameters": {"rope_type": "default", "rope_theta": 600.0}}
    assert ModelConfig.from_mapping({**raw, **new}).rope_theta == 600.0
    assert ModelConfig.from_mapping({**raw, "rope_scaling": None}).rope_theta == 10_000.0


def test_another_family_is_refused_by_its_name(raw: dict[str, Any]) -> None:
    with pytest.raises(JobFailed, match="'gemma3'") as failed:
        ModelConfig.from_mapping({**raw, "model_type": "gemma3"})
    assert failed.value.code == "unsupported_model_family"


@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
@pytest.mark.parametrize("kind", ["rope_type", "type"])
def test_a_rotary_scaling_that_we_do_not_have_is_refused(raw: dict[str, Any], key: str, kind: str) -> None:
    raw.pop("rope_parameters", None)
    with pytest.raises(JobFailed, match="'yarn'"):
        ModelConfig.from_mapping({**raw, key: {kind: "yarn", "factor": 4.0}})


@pytest.mark.parametrize(
    "feature",
    [{"attention_bias": True}, {"mlp_bias": True}, {"hidden_act": "gelu"}, {"use_sliding_window": True}],
    ids=str,
)
def test_a_feature_that_the_forward_pass_lacks_is_refused(raw: dict[str, Any], feature: dict[str, Any]) -> None:
    with pytest.raises(JobFailed, match=next(iter(feature))) as failed:
        ModelConfig.from_mapping({**raw, **feature})
    assert failed.value.code == "unsupported_model_family"
