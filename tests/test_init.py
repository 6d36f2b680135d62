import subprocess
import sys

import pytest

import agentrft

HEAVY = ("pydantic", "fastapi", "torch", "agentrft.toolkit")


def test_importing_the_package_loads_nothing_else() -> None:
    code = f"import sys, agentrft; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_using_the_decorators_loads_no_server() -> None:
    code = "import sys, agentrft; agentrft.tool; print([name for name in ('fastapi', 'torch') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_every_exported_name_is_there_and_no_other() -> None:
    assert all(hasattr(agentrft, name) for name in agentrft.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = agentrft.nothing
