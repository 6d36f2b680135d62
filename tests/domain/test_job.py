"""A settled job tells what it is, and never its secrets."""

import pytest

from agentrft.domain.job import JobStatus, ToolEndpoint
from agentrft.testing import some_rules


@pytest.mark.parametrize(
    ("status", "terminal"),
    [
        (JobStatus.SUCCEEDED, True),
        (JobStatus.FAILED, True),
        (JobStatus.CANCELLED, True),
        (JobStatus.RUNNING, False),
        (JobStatus.PAUSED, False),
        (JobStatus.QUEUED, False),
        (JobStatus.VALIDATING_FILES, False),
    ],
)
def test_a_job_is_over_when_its_status_is_terminal(status: JobStatus, terminal: bool) -> None:
    assert status.terminal is terminal


def test_headers_and_grader_secrets_are_not_in_the_repr() -> None:
    endpoint = ToolEndpoint(name="search", server_url="http://localhost", headers={"Authorization": "Bearer hush"})
    assert "hush" not in repr(endpoint)
    assert " grader=" not in repr(some_rules())
