import asyncio
import gzip
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from agentrft.domain.episode import ToolCall, ToolResult
from agentrft.domain.errors import UserError
from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.domain.job import ToolEndpoint
from agentrft.outbound.signature import Signer
from agentrft.ports import CallContext
from agentrft.tools import HttpTools
from tests.tools.scripted_endpoint import Answer, Break, Drip, Gather, Hang, ScriptedEndpoint

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OK = Answer(body={"output": "found", "call_id": "call_abc", "id": "fc_abc"})
MakeCall = Callable[..., ToolCall]
MakeEndpoint = Callable[..., ToolEndpoint]


def no_wait(attempt: int) -> float:
    return 0.0


@pytest.fixture
def ask(make_call: MakeCall, make_endpoint: MakeEndpoint, context: CallContext):
    """One call against a server that follows a script."""

    async def ask_scripted(*steps, call: ToolCall | None = None, **fields):
        async with (
            ScriptedEndpoint(*steps) as server,
            HttpTools([make_endpoint(server.url, **fields)], backoff_s=no_wait) as tools,
        ):
            return await tools.call(call or make_call(), context), server.requests

    return ask_scripted


async def test_a_call_is_sent_in_the_form_of_the_protocol(ask, context) -> None:
    _, [request] = await ask(OK, headers={"Authorization": "Bearer s3cret-key", "X-Mine": "1"})
    assert request.body == {
        "type": "function_call",
        "id": "fc_abc",
        "call_id": "call_abc",
        "name": "search",
        "arguments": '{"query": "revenue"}',
        "trace_id": "trace_0123",
        "item": context.item.row,
    }
    assert request.headers["authorization"] == "Bearer s3cret-key"
    assert request.headers["x-mine"] == "1"
    assert request.headers["content-type"] == "application/json"


async def test_headers_identify_the_call_and_the_episode(ask) -> None:
    _, [request] = await ask(OK)
    assert request.headers["idempotency-key"] == "call_abc"
    assert request.headers["x-agentrft-trace-id"] == "trace_0123"
    places = {key: request.headers[f"x-agentrft-{key}"] for key in ("step", "group", "attempt", "turn")}
    assert places == {"step": "3", "group": "group_9", "attempt": "1", "turn": "2"}


async def test_a_request_says_for_how_long_its_reply_is_awaited(ask) -> None:
    _, [request] = await ask(OK, timeout_s=30.0, deadline_s=180.0)
    assert request.headers["x-agentrft-deadline-ms"] == "30000"
    _, [request] = await ask(OK, timeout_s=30.0, deadline_s=20.0)
    assert 15_000 < int(request.headers["x-agentrft-deadline-ms"]) <= 20_000


async def test_headers_of_the_job_win_over_ours(ask) -> None:
    _, [request] = await ask(OK, headers={"content-type": "application/vnd.mine+json"})
    assert request.headers["content-type"] == "application/vnd.mine+json"


async def test_the_item_can_be_kept_back(ask) -> None:
    _, [request] = await ask(OK, send_item=False)
    assert request.body["item"] == {}


async def test_a_reply_without_type_or_ids_is_enough(ask) -> None:
    result, _ = await ask(Answer(body={"output": "42"}))
    assert result == replace(result, call_id="call_abc", name="search", output="42", status=200, is_error=False)
    assert result.latency_s > 0


@pytest.mark.parametrize("output", [{"a": [1, "é"]}, 3, None, True, ["x"]])
async def test_output_that_is_no_string_is_shown_as_json(ask, output) -> None:
    result, _ = await ask(Answer(body={"output": output}))
    assert json.loads(result.output) == output
    assert not result.is_error


async def test_half_a_surrogate_pair_in_the_output_is_replaced(ask) -> None:
    result, _ = await ask(Answer(body=b'{"output": "a\\ud800b"}'))
    assert result.output == "a?b"


@pytest.mark.parametrize("body", [b"<html>hello</html>", b'{"result": 1}', b"[1]", b"", b"[" * 100_000])
async def test_a_200_without_output_is_shown_to_the_model_and_reported(body, make_call, make_endpoint, context) -> None:
    reported: list[tuple[str, int]] = []
    async with (
        ScriptedEndpoint(Answer(body=body)) as server,
        HttpTools(
            [make_endpoint(server.url)], on_misconfigured=lambda tool, status: reported.append((tool, status))
        ) as tools,
    ):
        result = await tools.call(make_call(), context)
    assert isinstance(result, ToolResult)
    assert result.is_error
    assert result.output.startswith("Error: the reply of search has no output")
    assert reported == [("search", 200)]


async def test_a_400_without_output_is_shown_with_its_payload(ask) -> None:
    result, requests = await ask(Answer(status=400, body={"detail": "no such document"}))
    assert result.output == 'Error 400: {"detail": "no such document"}'
    assert (result.status, result.is_error, len(requests)) == (400, True, 1)


async def test_a_400_with_output_shows_the_output(ask) -> None:
    result, _ = await ask(Answer(status=400, body={"output": "Error: not a valid document"}))
    assert result.output == "Error: not a valid document"
    assert (result.status, result.is_error) == (400, True)


async def test_a_4xx_without_a_body_shows_its_reason(ask) -> None:
    result, _ = await ask(Answer(status=404))
    assert result.output == "Error 404: Scripted"


async def test_a_413_of_the_server_is_shown(ask) -> None:
    result, _ = await ask(Answer(status=413, body={"detail": "too much"}))
    assert (result.output, result.status) == ('Error 413: {"detail": "too much"}', 413)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_shown_and_reported_once(status, make_call, make_endpoint, context) -> None:
    reported: list[tuple[str, int]] = []
    async with (
        ScriptedEndpoint(Answer(status=status, body={"detail": "Missing bearer token"})) as server,
        HttpTools(
            [make_endpoint(server.url)], on_misconfigured=lambda tool, status: reported.append((tool, status))
        ) as tools,
    ):
        results = [await tools.call(make_call(), context) for _ in range(3)]
    assert [result.status for result in results] == [status] * 3
    assert reported == [("search", status)]


async def test_an_ordinary_4xx_is_not_reported(make_call, make_endpoint, context) -> None:
    reported: list[tuple[str, int]] = []
    async with (
        ScriptedEndpoint(Answer(status=404, body={})) as server,
        HttpTools([make_endpoint(server.url)], on_misconfigured=lambda *pair: reported.append(pair)) as tools,
    ):
        await tools.call(make_call(), context)
    assert reported == []


async def test_500_twice_then_200_gives_the_result_under_the_same_ids(ask) -> None:
    result, requests = await ask(Answer(status=500), Answer(status=502), OK)
    assert result.output == "found"
    assert len(requests) == 3
    assert all(request.body == requests[0].body for request in requests)
    assert {request.headers["idempotency-key"] for request in requests} == {"call_abc"}


async def test_500_always_is_a_fault_of_the_endpoint_after_three_retries(ask) -> None:
    fault, requests = await ask(Answer(status=500, body={"detail": "index not loaded"}))
    assert isinstance(fault, Fault)
    assert (fault.owner, fault.kind, fault.where) == (FaultOwner.TOOL_ENDPOINT, FaultKind.HTTP_5XX, "search")
    assert (fault.attempts, len(requests)) == (4, 4)
    assert "index not loaded" in fault.message


async def test_a_hanging_server_is_a_timeout(ask) -> None:
    fault, _ = await ask(Hang(), timeout_s=0.02)
    assert (fault.kind, fault.attempts) == (FaultKind.TIMEOUT, 4)


async def test_a_reply_that_stops_in_its_middle_is_a_timeout(ask) -> None:
    fault, _ = await ask(Hang(prefix=b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), timeout_s=0.02)
    assert fault.kind is FaultKind.TIMEOUT


async def test_a_reply_that_drips_in_is_read_and_one_that_drips_too_slowly_is_a_timeout(ask) -> None:
    result, _ = await ask(Drip(body=b'{"output": "42"}', pause_s=0.0))
    assert result.output == "42"
    fault, _ = await ask(Drip(body=b'{"output": "42"}', pause_s=0.02), timeout_s=0.05)
    assert fault.kind is FaultKind.TIMEOUT


async def test_all_tries_share_one_deadline(ask) -> None:
    fault, _ = await ask(Hang(), timeout_s=60.0, deadline_s=0.05)
    assert (fault.kind, fault.attempts) == (FaultKind.TIMEOUT, 1)
    assert "no time for another within 0.05 s" in fault.message


@pytest.mark.parametrize("prefix", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", b"garbage\r\n\r\n"])
async def test_a_broken_connection_is_retried_and_then_a_fault(ask, prefix) -> None:
    fault, requests = await ask(Break(prefix=prefix))
    assert (fault.kind, fault.attempts, len(requests)) == (FaultKind.CONNECTION, 4, 4)


async def test_a_refused_connection_is_a_fault(make_call, make_endpoint, context) -> None:
    async with ScriptedEndpoint(OK) as server:
        url = server.url
    async with HttpTools([make_endpoint(url)], backoff_s=no_wait) as tools:
        fault = await tools.call(make_call(), context)
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.CONNECTION


@pytest.mark.parametrize("status", [200, 400])
async def test_a_reply_over_one_megabyte_is_shown_as_413(ask, status) -> None:
    result, requests = await ask(Answer(status=status, body={"output": "x" * 2_000_000}))
    assert (result.status, result.is_error, len(requests)) == (413, True, 1)
    assert result.output == "Error 413: the reply of search is larger than 1 MB; ask for less"


async def test_a_small_reply_that_inflates_over_one_megabyte_is_shown_as_413(ask) -> None:
    bomb = gzip.compress(b'{"output": "' + b"x" * 5_000_000 + b'"}')
    assert len(bomb) < 100_000
    result, _ = await ask(Answer(body=bomb, headers={"Content-Encoding": "gzip"}))
    assert result.status == 413


async def test_a_compressed_reply_is_read(ask) -> None:
    result, _ = await ask(Answer(body=gzip.compress(b'{"output": "42"}'), headers={"Content-Encoding": "gzip"}))
    assert result.output == "42"


async def test_an_encoding_that_was_not_asked_for_is_an_invalid_reply(ask) -> None:
    fault, _ = await ask(Answer(body=b"?", headers={"Content-Encoding": "br"}))
    assert fault.kind is FaultKind.INVALID_REPLY


async def test_a_redirect_is_refused_and_not_retried(ask) -> None:
    fault, requests = await ask(Answer(status=307, headers={"Location": "http://elsewhere.example/tool?key=s3cret"}))
    assert (fault.kind, len(requests)) == (FaultKind.INVALID_REPLY, 1)
    assert "redirects to http://elsewhere.example/tool" in fault.message
    assert "s3cret" not in fault.message


async def test_no_secret_of_the_endpoint_gets_into_a_fault(make_call, context) -> None:
    leak = Answer(status=500, body={"request_headers": {"authorization": "Bearer s3cret-key"}})
    async with ScriptedEndpoint(leak) as server:
        endpoint = ToolEndpoint(
            name="search",
            server_url=server.url.replace("http://", "http://me:hunter22@") + "?token=t0psecret",
            headers={"Authorization": "Bearer s3cret-key"},
        )
        async with HttpTools([endpoint], backoff_s=no_wait) as tools:
            fault = await tools.call(make_call(), context)
    assert isinstance(fault, Fault)
    assert not any(secret in repr(fault) for secret in ("s3cret", "hunter22", "t0psecret"))


async def test_cookies_do_not_wander_between_calls(make_call, make_endpoint, context) -> None:
    async with (
        ScriptedEndpoint(Answer(body={"output": "1"}, headers={"Set-Cookie": "episode=1; Path=/"})) as server,
        HttpTools([make_endpoint(server.url)]) as tools,
    ):
        await tools.call(make_call(), context)
        await tools.call(make_call(), context)
        assert all("cookie" not in request.headers for request in server.requests)


async def test_all_calls_of_all_episodes_overlap(make_call, make_endpoint, context) -> None:
    count = 300
    async with (
        ScriptedEndpoint(Gather(count=count, answer=OK)) as server,
        HttpTools([make_endpoint(server.url, timeout_s=20)], backoff_s=no_wait) as tools,
    ):
        calls = [tools.call(make_call(call_id=f"call_{index}"), context) for index in range(count)]
        results = await asyncio.gather(*calls)
        assert len(server.requests) == count
    assert [result.call_id for result in results] == [f"call_{index}" for index in range(count)]
    assert all(isinstance(result, ToolResult) for result in results)


async def many(tools: HttpTools, make_call: MakeCall, context: CallContext, count: int) -> list[ToolResult | Fault]:
    return await asyncio.gather(*(tools.call(make_call(call_id=f"call_{n}"), context) for n in range(count)))


async def test_an_endpoint_gets_no_more_requests_at_once_than_its_owner_allows(
    make_call, make_endpoint, context
) -> None:
    async with (
        ScriptedEndpoint(Gather(count=3, answer=OK)) as server,
        HttpTools([make_endpoint(server.url, max_concurrency=3)]) as tools,
    ):
        results = await many(tools, make_call, context, 12)
    assert all(isinstance(result, ToolResult) for result in results)
    assert (len(server.requests), server.peak) == (12, 3)


async def test_a_call_waits_for_its_turn_under_the_rate_limit(make_call, make_endpoint, context) -> None:
    once_in_hours = 1e-4
    async with (
        ScriptedEndpoint(OK) as server,
        HttpTools([make_endpoint(server.url, rate_limit=once_in_hours)]) as tools,
    ):
        assert isinstance(await tools.call(make_call(), context), ToolResult)
        second = asyncio.ensure_future(tools.call(make_call(), context))
        await asyncio.wait([second], timeout=0.02)
        assert not second.done()
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
    assert len(server.requests) == 1


async def test_an_endpoint_that_fails_for_many_is_left_alone(make_call, make_endpoint, context) -> None:
    async with (
        ScriptedEndpoint(Answer(status=500, body={"detail": "index not loaded"})) as server,
        HttpTools([make_endpoint(server.url, deadline_s=1.5)], backoff_s=no_wait) as tools,
    ):
        faults = await many(tools, make_call, context, 20)
        [endpoint] = tools.endpoints
        health = endpoint.health()
    assert (health.name, health.state, health.requests, health.failure_rate) == ("search", "open", 20, 1.0)
    assert "index not loaded" in health.last_failure
    assert len(server.requests) == 20
    for fault in faults:
        assert isinstance(fault, Fault)
        assert (fault.owner, fault.kind, fault.attempts) == (FaultOwner.TOOL_ENDPOINT, FaultKind.BREAKER_OPEN, 1)
        assert "index not loaded" in fault.message


async def test_replies_of_4xx_never_open_the_breaker(make_call, make_endpoint, context) -> None:
    async with (
        ScriptedEndpoint(Answer(status=404, body={"detail": "no such page"})) as server,
        HttpTools([make_endpoint(server.url)]) as tools,
    ):
        results = await many(tools, make_call, context, 40)
        health = tools.endpoints[0].health()
    assert all(isinstance(result, ToolResult) for result in results)
    assert (health.state, health.requests, health.failure_rate) == ("closed", 40, 0.0)


async def test_a_try_again_is_signed_anew_under_the_same_id(make_call, make_endpoint, context) -> None:
    async with (
        ScriptedEndpoint(Answer(status=500), OK) as server,
        HttpTools([make_endpoint(server.url)], backoff_s=no_wait, signer=Signer(SECRET)) as tools,
    ):
        await tools.call(make_call(), context)
    for request in server.requests:
        sent = request.headers
        assert sent["webhook-id"] == sent["idempotency-key"] == "call_abc"
        expected = Signer(SECRET).headers("call_abc", timestamp_s=int(sent["webhook-timestamp"]), body=request.raw)
        assert sent["webhook-signature"] == expected["webhook-signature"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"error": "the call is not closed"}, "the call is not closed"),
        ({"name": "serch"}, "there is no tool 'serch'; the tools are: search"),
        ({"arguments": '{"query": '}, "not valid JSON"),
        ({"arguments": '{"query": "x", "top_k": NaN}'}, "NaN is no JSON value"),
        ({"arguments": "[" * 100_000}, "nested too deeply"),
        ({"arguments": '{"query": "a", "query": "b"}'}, "has the key 'query' twice"),
        ({"arguments": '{"query": "x", "top_k": ' + "9" * 5000 + "}"}, "a number of 5000 digits, which is too large"),
        ({"arguments": '["revenue"]'}, "must be a JSON object"),
        ({"arguments": '{"query": 5}'}, "search: argument query: 5 is not of type 'string'"),
        ({"arguments": '{"top_k": 3}'}, "'query' is a required property"),
    ],
)
async def test_a_malformed_call_is_explained_to_the_model_and_never_sent(ask, make_call, fields, said) -> None:
    result, requests = await ask(OK, call=make_call(**fields))
    assert (result.status, result.is_error, requests) == (400, True, [])
    assert said in result.output
    assert len(result.output) < 500


async def test_a_tool_of_the_row_without_an_endpoint_is_a_fault_of_the_platform(make_call, context) -> None:
    async with HttpTools([]) as tools:
        fault = await tools.call(make_call(), context)
    assert isinstance(fault, Fault)
    assert (fault.owner, fault.where) == (FaultOwner.PLATFORM, "search")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"server_url": "ftp://example.com"}, "method.reinforcement.tools[1].server_url"),
        ({"server_url": "/relative"}, "method.reinforcement.tools[1].server_url"),
        ({"headers": {"X-Key": "two\nlines-s3cret"}}, "method.reinforcement.tools[1].headers"),
        ({"headers": {"bad name": "v"}}, "method.reinforcement.tools[1].headers"),
        ({"name": "search"}, "method.reinforcement.tools[1].name"),
    ],
)
def test_an_endpoint_that_cannot_work_is_refused_with_its_path(make_endpoint, fields, param) -> None:
    good = make_endpoint("http://127.0.0.1:1/")
    with pytest.raises(UserError) as caught:
        HttpTools([good, replace(good, **{"name": "list", **fields})])
    assert caught.value.param == param
    assert "s3cret" not in caught.value.message


@pytest.mark.parametrize("status", [408, 425, 429])
async def test_a_status_that_says_later_is_never_shown_to_the_model(ask, status) -> None:
    busy = Answer(status=status, body={"detail": "slow down"})
    result, requests = await ask(busy, OK)
    assert isinstance(result, ToolResult)
    assert (result.output, len(requests)) == ("found", 2)
    fault, requests = await ask(busy)
    assert isinstance(fault, Fault)
    assert (fault.owner, fault.kind) == (FaultOwner.TOOL_ENDPOINT, FaultKind.OVERLOADED)
    assert (fault.attempts, len(requests)) == (4, 4)
    assert "slow down" in fault.message
