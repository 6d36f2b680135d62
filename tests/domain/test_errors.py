"""Errors carry what the person who must act needs."""

from agentrft.domain.errors import JobFailed, UserError


def test_a_user_error_names_the_field_and_defaults_to_400() -> None:
    error = UserError("no such tool; add it", param="tools[0].name", code="invalid_value")
    assert (str(error), error.param, error.code, error.status) == (
        "no such tool; add it",
        "tools[0].name",
        "invalid_value",
        400,
    )


def test_a_failed_job_has_a_code() -> None:
    error = JobFailed("example 3 is too long", code="invalid_training_file", param="training_file")
    assert (error.message, error.code, error.param) == (
        "example 3 is too long",
        "invalid_training_file",
        "training_file",
    )
