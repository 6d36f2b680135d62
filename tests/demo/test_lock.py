import os
from pathlib import Path

import pytest

from agentrft.demo.lock import AlreadyRunning, exclusive


def test_a_second_run_in_the_same_directory_is_refused_with_the_first_ones_number(tmp_path: Path) -> None:
    with exclusive(tmp_path / "data"):
        refused = pytest.raises(AlreadyRunning, match=f"process {os.getpid()}.*--data-dir")
        with refused, exclusive(tmp_path / "data"):
            pass


def test_the_directory_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with exclusive(tmp_path):
            pass
