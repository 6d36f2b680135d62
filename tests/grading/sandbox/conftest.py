import subprocess
from collections.abc import Iterator

import pytest

from agentrft.grading.sandbox import SandboxSetup
from tests.grading.sandbox.opening import SETUPS


@pytest.fixture(params=["everything", "no namespaces"])
def setup(request) -> SandboxSetup:
    """Each way to confine: with everything, and where the kernel allows no namespaces."""
    return SandboxSetup(facilities=SETUPS[request.param])


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same user."""
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as process:
        yield process
        process.kill()
