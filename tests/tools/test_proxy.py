import pytest

from agentrft.domain.errors import UserError
from agentrft.domain.faults import Fault, FaultKind
from agentrft.tools import run_tool
from tests.tools.scripted_endpoint import Answer, ScriptedEndpoint


def request(url: str, **fields):
    return {
        "type": "function_call",
        "name": "search",
        "server_url": url,
        "headers": {"Authorization": "Bearer s3cret-key"},
        "arguments": '{"query": "x"}',
        "item": {"reference_answer": "94"},
        "trace_id": "trace_1",
        "id": "tmp_user_id",
        "call_id": "call_1",
        "rate_limit": 5,
        **fields,
    }


async def run(*steps: Answer, **fields):
    async with ScriptedEndpoint(*steps) as server:
        return await run_tool(request(server.url, **fields), backoff_s=lambda attempt: 0.0), server.requests


async def test_a_call_is_forwarded_and_its_output_returned() -> None:
    answer, [sent] = await run(Answer(body={"output": {"hits": 1}}))
    assert answer == {
        "type": "function_call_output",
        "call_id": "call_1",
        "id": "tmp_user_id",
        "output": '{"hits": 1}',
    }
    assert sent.body == {
        "type": "function_call",
        "id": "tmp_user_id",
        "call_id": "call_1",
        "name": "search",
        "arguments": '{"query": "x"}',
        "trace_id": "trace_1",
        "item": {"reference_answer": "94"},
    }
    assert sent.headers["authorization"] == "Bearer s3cret-key"
    assert sent.headers["idempotency-key"] == "call_1"


async def test_missing_ids_are_made_up_in_the_right_shape() -> None:
    answer, [sent] = await run(Answer(body={"output": "x"}), id=None, call_id=None, trace_id=None, item=None)
    assert answer["call_id"].startswith("call_")
    assert answer["id"] == sent.body["id"] == "fc_" + answer["call_id"].removeprefix("call_")
    assert sent.body["trace_id"].startswith("trace_")
    assert sent.body["item"] == {}


async def test_arguments_given_as_an_object_are_encoded() -> None:
    _, [sent] = await run(Answer(body={"output": "x"}), arguments={"query": "y"})
    assert sent.body["arguments"] == '{"query": "y"}'


async def test_an_agent_error_is_an_output() -> None:
    answer, _ = await run(Answer(status=404, body={"detail": "no such page"}))
    assert answer["output"] == 'Error 404: {"detail": "no such page"}'


async def test_arguments_that_are_no_object_are_answered_without_a_request() -> None:
    answer, sent = await run(Answer(body={"output": "x"}), arguments="[1]")
    assert answer["output"] == "Error: search: the arguments must be a JSON object, not [1]"
    assert sent == []


async def test_an_endpoint_that_fails_gives_a_fault() -> None:
    fault, sent = await run(Answer(status=503))
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.attempts, len(sent)) == (FaultKind.HTTP_5XX, 4, 4)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": ""}, "name"),
        ({"arguments": 5}, "arguments"),
        ({"server_url": None}, "server_url"),
        ({"server_url": "file:///etc/passwd"}, "server_url"),
        ({"headers": [1]}, "headers"),
        ({"headers": {"A": 1}}, "headers"),
        ({"item": "x"}, "item"),
    ],
)
async def test_a_malformed_request_is_refused_with_its_path(fields, param) -> None:
    with pytest.raises(UserError) as caught:
        await run(Answer(), **fields)
    assert caught.value.param == param
