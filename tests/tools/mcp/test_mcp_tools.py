import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI

from agentrft.domain.episode import ToolResult
from agentrft.domain.errors import JobFailed, UserError
from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.domain.job import McpCommand, McpServer
from agentrft.outbound.breaker import BreakerState
from agentrft.outbound.transport import Failure
from agentrft.tools.mcp import McpTools
from agentrft.tools.mcp.link import Link
from tests.server.conftest import serving
from tests.tools.mcp.conftest import Caller, at, connect, over_http
from tests.tools.mcp.servers import Border, make_server

Command = Callable[..., McpServer]


@pytest.mark.parametrize("settings", [{}, {"json_response": True, "stateless_http": True}])
async def test_tools_are_listed_with_their_schemas_and_called(tmp_path: Path, settings: dict[str, bool]) -> None:
    async with over_http(make_server(tmp_path).streamable_http_app(**settings)) as call:
        spec = call.tools.specs[0]
        assert (spec.name, spec.description, spec.parameters["required"]) == ("add", "Add two numbers.", ["a", "b"])
        result = await call("add", a=1, b=2)
    assert isinstance(result, ToolResult)
    assert result == replace(result, call_id="call_abc", name="add", output="3", status=200, is_error=False)
    assert result.latency_s > 0


async def test_an_error_of_the_tool_is_shown_to_the_model(tmp_path: Path) -> None:
    async with over_http(make_server(tmp_path).streamable_http_app()) as call:
        result = await call("fail", reason="no such page")
    assert isinstance(result, ToolResult)
    assert result.output.endswith("no such page")
    assert (result.status, result.is_error) == (400, True)


async def test_the_policys_mistakes_never_leave_the_house(tmp_path: Path) -> None:
    border = Border(tmp_path)
    async with over_http(border) as call:
        results = [await call("add", a=1, b="two"), await call("subtract", a=1)]
    assert [result.is_error for result in results if isinstance(result, ToolResult)] == [True, True]
    assert "tools/call" not in border.methods


async def test_all_calls_of_all_episodes_overlap_on_one_session(tmp_path: Path) -> None:
    border = Border(tmp_path)
    async with over_http(border) as call:
        results = await asyncio.gather(*(call("gather", count=64) for _ in range(64)))
    assert [result.output for result in results if isinstance(result, ToolResult)] == ["together"] * 64
    assert (border.methods.count("server/discover"), border.methods.count("tools/call")) == (1, 64)


async def test_a_call_says_to_which_episode_it_belongs_and_for_how_long_it_waits(tmp_path: Path) -> None:
    async with over_http(make_server(tmp_path).streamable_http_app(), timeout_s=20.0) as call:
        result = await call("meta")
    assert isinstance(result, ToolResult)
    assert result.output == (
        "agentrft/attempt=1 agentrft/call_id=call_abc agentrft/deadline_ms=20000 agentrft/group=group_9 "
        "agentrft/step=3 agentrft/trace_id=trace_0123 agentrft/turn=2"
    )


async def test_what_is_no_text_is_described_and_what_is_too_large_is_refused(tmp_path: Path) -> None:
    async with over_http(make_server(tmp_path).streamable_http_app()) as call:
        picture, large = await call("picture"), await call("large")
    assert isinstance(picture, ToolResult)
    assert picture.output == "a picture:\n[image image/png, 8 bytes]"
    assert isinstance(large, ToolResult)
    assert (large.status, large.output) == (413, "Error 413: the reply of large is larger than 1 MB; ask for less")


async def test_a_tool_that_takes_too_long_is_a_timeout_and_each_try_has_a_connection_of_its_own(tmp_path: Path) -> None:
    border = Border(tmp_path)
    async with over_http(border, timeout_s=0.05) as call:
        fault = await call("hang")
    assert isinstance(fault, Fault)
    assert (fault.owner, fault.kind, fault.where) == (FaultOwner.TOOL_ENDPOINT, FaultKind.TIMEOUT, "hang")
    assert fault.attempts == 4
    assert fault.message == "MCP server 'web': no result within 0.05 s (4 tries)"
    assert border.methods.count("server/discover") == 4


async def test_all_tries_share_one_deadline(tmp_path: Path) -> None:
    async with over_http(make_server(tmp_path).streamable_http_app(), deadline_s=1.0) as call:
        fault = await call("hang")
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.attempts) == (FaultKind.TIMEOUT, 1)


async def test_a_slow_tool_does_not_cost_others_their_connection(tmp_path: Path) -> None:
    border = Border(tmp_path)
    async with over_http(border, timeout_s=1.0, deadline_s=1.2) as call:
        slow = asyncio.create_task(call("hang"))
        await asyncio.sleep(0.05)
        quick = await call("add", a=1, b=2)
        fault = await slow
    assert isinstance(quick, ToolResult)
    assert isinstance(fault, Fault)
    assert border.methods.count("server/discover") == 1


@pytest.mark.parametrize("legacy", [False, True])
async def test_5xx_is_retried_on_the_same_session(tmp_path: Path, legacy: bool) -> None:
    border = Border(tmp_path, 503, 500, legacy=legacy)
    async with over_http(border, headers={"Authorization": "Bearer hush-hush"}) as call:
        result = await call("add", a=1, b=2)
    assert isinstance(result, ToolResult)
    assert (result.output, border.methods.count("tools/call"), border.methods.count("tools/list")) == ("3", 3, 1)
    assert border.headers["authorization"] == "Bearer hush-hush"


async def test_5xx_always_is_a_fault_of_the_endpoint(tmp_path: Path) -> None:
    async with over_http(Border(tmp_path, *[502] * 9)) as call:
        fault = await call("add", a=1, b=2)
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.attempts) == (FaultKind.HTTP_5XX, 4)
    assert "HTTP 502" in fault.message


async def test_a_refused_key_is_a_fault_at_once_and_told_without_the_key(tmp_path: Path) -> None:
    async with over_http(Border(tmp_path, 401), headers={"Authorization": "Bearer hush-hush"}) as call:
        fault = await call("add", a=1, b=2)
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.attempts) == (FaultKind.INVALID_REPLY, 1)
    assert "HTTP 401" in fault.message
    assert "hush" not in fault.message


async def test_a_session_that_the_server_forgot_is_opened_anew(tmp_path: Path) -> None:
    border = Border(tmp_path, 404, legacy=True)
    async with over_http(border) as call:
        result = await call("add", a=1, b=2)
    assert isinstance(result, ToolResult)
    assert (result.output, border.methods.count("initialize")) == ("3", 2)


async def test_a_server_that_restarts_is_found_again(tmp_path: Path) -> None:
    async with serving(make_server(tmp_path).streamable_http_app()) as url:
        port = int(url.rpartition(":")[2])
        tools = connect(at(f"{url}/mcp"))
        call = await tools.__aenter__()
    gone = await call("add", a=1, b=2)
    async with serving(make_server(tmp_path).streamable_http_app(), port=port):
        back = await call("add", a=1, b=2)
        await tools.__aexit__(None, None, None)
    assert isinstance(gone, Fault)
    assert (gone.owner, gone.kind, gone.attempts) == (FaultOwner.TOOL_ENDPOINT, FaultKind.CONNECTION, 4)
    assert isinstance(back, ToolResult)
    assert back.output == "3"


async def test_a_process_has_the_environment_of_the_job_and_ends_with_it(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTRFT_API_KEY", "sk-ours")
    async with connect(command(KEY="theirs")) as call:
        result = await call("process")
        assert isinstance(result, ToolResult)
        told = json.loads(result.output)
        os.kill(told["pid"], 0)
    assert told["environment"]["KEY"] == "theirs"
    assert "AGENTRFT_API_KEY" not in told["environment"]
    with pytest.raises(ProcessLookupError):
        os.kill(told["pid"], 0)


async def test_a_process_that_crashes_is_started_again_for_every_call_that_it_took_along(command: Command) -> None:
    async with connect(command()) as call:
        crashing, waiting = await asyncio.gather(call("crash", times=1), call("crash", times=1))
        after = await call("add", a=1, b=2)
    assert [result.output for result in (crashing, waiting, after) if isinstance(result, ToolResult)] == [
        "alive after 1 crashes",
        "alive after 1 crashes",
        "3",
    ]


@pytest.mark.parametrize(
    ("argv", "words"),
    [(("/no/such/program",), "cannot be run"), ((sys.executable, "-c", "pass"), "(4 tries)")],
)
async def test_a_command_that_is_no_server_fails_the_job(argv: tuple[str, ...], words: str) -> None:
    with pytest.raises(JobFailed) as failed:
        async with connect(McpServer(name="broken", at=McpCommand(argv=argv))):
            pass
    assert (failed.value.code, failed.value.param) == (
        "mcp_server_unavailable",
        "method.reinforcement.agentrft.mcp_servers[0]",
    )
    assert "'broken'" in failed.value.message
    assert words in failed.value.message


async def test_an_address_without_a_server_fails_the_job_at_once() -> None:
    with pytest.raises(JobFailed) as failed:
        async with over_http(FastAPI()):
            pass
    assert failed.value.message == "MCP server 'web': HTTP 404 Not Found; check its url and headers (1 try)."


async def test_only_allowed_tools_are_offered_in_their_order(tmp_path: Path) -> None:
    async with over_http(make_server(tmp_path).streamable_http_app(), allowed_tools=("meta", "add")) as call:
        assert [spec.name for spec in call.tools.specs] == ["meta", "add"]
        refused = await call("fail", reason="x")
    assert isinstance(refused, ToolResult)
    assert "there is no tool 'fail'" in refused.output


async def test_names_that_clash_or_are_not_listed_are_refused(tmp_path: Path) -> None:
    async with serving(make_server(tmp_path).streamable_http_app()) as url:
        one = at(f"{url}/mcp", name="one", allowed_tools=("add",))
        cases = [
            ([one, replace(one, name="two")], (), "mcp_servers[1]", "duplicate_tool"),
            ([one], ("add",), "mcp_servers[0]", "duplicate_tool"),
            ([replace(one, allowed_tools=("subtract",))], (), "mcp_servers[0].allowed_tools", "missing_tool"),
        ]
        for servers, taken, param, code in cases:
            with pytest.raises(UserError) as refused:
                async with connect(*servers, taken=taken):
                    pass
            assert (refused.value.param, refused.value.code) == (f"method.reinforcement.agentrft.{param}", code)


async def test_a_status_that_says_later_is_tried_again_and_then_a_fault(tmp_path: Path) -> None:
    async with over_http(Border(tmp_path, 429, *[408] * 4)) as call:
        tries = [await call("add", a=1, b=2) for _ in range(2)]
    fault, result = tries
    assert isinstance(fault, Fault)
    assert (fault.owner, fault.kind, fault.attempts) == (FaultOwner.TOOL_ENDPOINT, FaultKind.OVERLOADED, 4)
    assert isinstance(result, ToolResult)
    assert result.output == "3"


async def test_the_latency_is_that_of_the_try_that_went_well(tmp_path: Path) -> None:
    async with (
        serving(Border(tmp_path, 503)) as url,
        McpTools([at(f"{url}/mcp")], backoff_s=lambda attempt: 0.5) as tools,
    ):
        result = await Caller(tools)("add", a=1, b=2)
    assert isinstance(result, ToolResult)
    assert 0 < result.latency_s < 0.5


async def test_a_try_that_our_own_deadline_cuts_short_costs_others_no_connection(tmp_path: Path) -> None:
    async with serving(make_server(tmp_path).streamable_http_app()) as url:
        link = Link(at(f"{url}/mcp", timeout_s=0.2))
        assert await link.ready() is None
        fault = await link.call("hang", {}, meta={}, timeout_s=0.09)
        assert isinstance(fault, Failure)
        assert not link.retired
        await link.call("hang", {}, meta={}, timeout_s=0.2)
        assert link.retired
        await link.close()


async def test_no_more_calls_are_under_way_than_the_server_bears(tmp_path: Path) -> None:
    async with over_http(make_server(tmp_path).streamable_http_app(), max_concurrency=2) as call:
        results = await asyncio.gather(*(call("nap") for _ in range(6)))
    assert max(result.output for result in results if isinstance(result, ToolResult)) == "2"


async def test_a_server_that_is_down_is_left_alone(tmp_path: Path) -> None:
    async with (
        serving(Border(tmp_path, *[503] * 20)) as url,
        McpTools([at(f"{url}/mcp")], backoff_s=lambda attempt: 1000.0) as tools,
    ):
        await asyncio.gather(*(Caller(tools)("add", a=1, b=2) for _ in range(20)))
        breaker = tools._sessions[0]._turnstile.breaker
        assert breaker.state is BreakerState.OPEN
        assert breaker.last_failure.startswith("HTTP 503")
