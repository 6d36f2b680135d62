import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentrft.store import Settings, Store, open_store
from agentrft.worker.models import ModelLoader
from tests.modeling.tiny import write_model


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of the Qwen2.5 family; read only."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_model(folder, "qwen2", num_hidden_layers=1)
    return folder


@pytest.fixture
def settings(tmp_path: Path, tiny_folder: Path) -> Settings:
    shutil.copytree(tiny_folder, tmp_path / "models" / "tiny")
    return Settings(data_dir=tmp_path / "data", models_dir=tmp_path / "models")


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    async with open_store(settings) as opened:
        await opened.keys.bootstrap("sk-test")
        yield opened


@pytest.fixture
def loader(tmp_path: Path) -> ModelLoader:
    return ModelLoader(tmp_path / "converted")
