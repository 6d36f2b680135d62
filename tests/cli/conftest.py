from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from agentrft.cli import main
from tests.demo.fake_platform import KEY, FakePlatform, fake_platform

Run = Callable[..., int]


@pytest.fixture
def platform() -> Iterator[FakePlatform]:
    with fake_platform() as fake:
        yield fake


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the developer's own set-up, and tables that are not folded."""
    for name in ("AGENTRFT_URL", "AGENTRFT_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AGENTRFT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def connected(platform: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> FakePlatform:
    monkeypatch.setenv("AGENTRFT_URL", platform.url)
    monkeypatch.setenv("AGENTRFT_API_KEY", KEY)
    return platform


@pytest.fixture
def run() -> Run:
    """Run a command line; its exit status."""

    def run_it(*argv: str) -> int:
        return exit_status(argv)

    return run_it


def exit_status(argv: Sequence[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    return int(ended.value.code or 0)
