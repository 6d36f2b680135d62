"""Errors by who must act: the user (`UserError`) or the owner of a job (`JobFailed`).

What goes wrong inside one episode is no exception but a `Fault` (faults.py): a bad rollout is data. Anything else is
our own bug and crashes.
"""


class UserError(Exception):
    """A request that cannot be served as it is. Becomes OpenAI's error envelope.

    Args:
        message: what is wrong and what to do about it.
        param: dotted path of the offending field, e.g. `method.reinforcement.tools[0].server_url`.
        code: machine-readable reason, e.g. `invalid_value`, `unknown_parameter`, `model_not_found`.
        status: HTTP status, 4xx.
    """

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.status = status


class JobFailed(Exception):
    """A job cannot go on; `code`, `message` and `param` become the job's `error`."""

    def __init__(self, message: str, *, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
