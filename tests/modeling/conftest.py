from pathlib import Path

import pytest

from tests.modeling.tiny import FAMILIES, write_model


@pytest.fixture(scope="session", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder with a random model of each family; read only."""
    root = tmp_path_factory.mktemp("models")
    for name in FAMILIES:
        write_model(root / name, name)
    return {name: root / name for name in FAMILIES}
