import sys
import sysconfig
from pathlib import Path

import agentrft
from agentrft.grading.sandbox.readable import find_readable


def test_graders_may_read_the_interpreter_and_its_libraries() -> None:
    found = find_readable()
    assert sys.executable in found.paths
    assert sysconfig.get_path("stdlib") in found.paths
    assert all(Path(path).exists() for path in found.paths)


def test_graders_import_from_the_package_folders_only(monkeypatch, tmp_path) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    packages = find_readable().packages
    assert str(tmp_path) not in packages
    assert all(Path(path).name in ("site-packages", "dist-packages") for path in packages)


def test_the_platforms_own_package_is_hidden() -> None:
    assert find_readable().hidden == (str(Path(agentrft.__file__).parent),)
