from typing import Any

import pytest

from agentrft.domain.errors import UserError
from agentrft.wire.job_request import JobSpec, read_job_request
from tests.wire.test_job_request import TOOL, body

WEB = {"name": "web", "url": "http://localhost:1/mcp", "headers": {"Authorization": "Bearer hush"}}
LOCAL = {"name": "local", "command": "uvx", "args": ["some-server"], "env": {"KEY": "hush"}}
AT = "method.reinforcement.agentrft.mcp_servers"


def read(*servers: Any, **reinforcement: Any) -> JobSpec:
    return read_job_request(body(agentrft={"mcp_servers": list(servers)}, **reinforcement))


def test_secrets_of_servers_are_masked_in_what_may_be_shown() -> None:
    spec = read(WEB, LOCAL | {"allowed_tools": ["read"], "timeout_s": 5})
    shown = spec.masked_settings["reinforcement"]["agentrft"]["mcp_servers"]
    assert shown[0]["headers"] == {"Authorization": "**********"}
    assert shown[1]["env"] == {"KEY": "**********"}
    assert "hush" not in repr(spec)
    kept = spec.settings["reinforcement"]["agentrft"]["mcp_servers"]
    assert kept == [WEB, LOCAL | {"allowed_tools": ["read"], "timeout_s": 5.0}]


def test_what_servers_may_serve_is_known_when_all_say_what_is_allowed() -> None:
    assert read(tools=[]).mcp_tools == frozenset()
    assert read(WEB, LOCAL | {"allowed_tools": ["read"]}).mcp_tools is None
    named = read(WEB | {"allowed_tools": ["look"]}, LOCAL | {"allowed_tools": ["read"]})
    assert named.mcp_tools == {"look", "read"}


@pytest.mark.parametrize(
    ("servers", "param", "code"),
    [
        ([{"name": "x"}], f"{AT}[0]", "invalid_value"),
        ([WEB | {"command": "uvx"}], f"{AT}[0]", "invalid_value"),
        ([WEB | {"env": {}}], f"{AT}[0]", "invalid_value"),
        ([LOCAL | {"headers": {}}], f"{AT}[0]", "invalid_value"),
        ([WEB | {"url": "stdio://x"}], f"{AT}[0].url", "invalid_value"),
        ([WEB | {"headers": {"A": "a\nb"}}], f"{AT}[0].headers", "invalid_value"),
        ([LOCAL | {"args": ["a\0"]}], f"{AT}[0].args[0]", "invalid_value"),
        ([LOCAL | {"allowed_tools": []}], f"{AT}[0].allowed_tools", "invalid_value"),
        ([LOCAL | {"cwd": "/"}], f"{AT}[0].cwd", "unknown_parameter"),
        ([LOCAL, WEB | {"name": "local"}], AT, "invalid_value"),
        ([LOCAL | {"allowed_tools": ["a"]}, WEB | {"allowed_tools": ["a"]}], f"{AT}[1].allowed_tools", "invalid_value"),
        ([WEB | {"allowed_tools": ["search"]}], f"{AT}[0].allowed_tools", "invalid_value"),
    ],
)
def test_a_mistake_is_named_by_its_dotted_path(servers: list[Any], param: str, code: str) -> None:
    with pytest.raises(UserError) as refused:
        read(*servers, tools=[TOOL])
    assert (refused.value.param, refused.value.code) == (param, code)
    assert "hush" not in refused.value.message


def test_limits_of_a_server_reach_the_worker() -> None:
    limits = {"max_concurrency": 4, "rate_limit": 2.5}
    (kept,) = read(WEB | limits).settings["reinforcement"]["agentrft"]["mcp_servers"]
    assert kept == WEB | limits
    with pytest.raises(UserError) as refused:
        read(WEB | {"max_concurrency": 0})
    assert refused.value.param == f"{AT}[0].max_concurrency"
