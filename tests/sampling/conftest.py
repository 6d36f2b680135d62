from pathlib import Path

import pytest
import torch
import transformers

from agentrft.modeling.weights import BaseWeights, load_weights
from agentrft.sampling.model import SamplerModel, build_model
from tests.modeling.tiny import write_model


@pytest.fixture(scope="session")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> transformers.PreTrainedModel:
    """The model as transformers has it."""
    return write_model(tmp_path_factory.mktemp("model"), "qwen3")


@pytest.fixture(scope="session")
def base(theirs: transformers.PreTrainedModel, tmp_path_factory: pytest.TempPathFactory) -> BaseWeights:
    folder = tmp_path_factory.mktemp("saved")
    theirs.save_pretrained(folder)
    return load_weights(folder, torch.float32)


@pytest.fixture(scope="session")
def model(base: BaseWeights) -> SamplerModel:
    """The same model as the sampler has it, in fp32."""
    return build_model(base, None, 1)


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> tuple[transformers.PreTrainedModel, SamplerModel]:
    """Other weights of the same shape, as version 2, both ways."""
    folder: Path = tmp_path_factory.mktemp("other")
    theirs = write_model(folder, "qwen3", seed=9)
    return theirs, build_model(load_weights(folder, torch.float32), None, 2)
