from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from agentrft.store import Store
from agentrft.worker.models import ModelLoader
from agentrft.worker.serving import Serving, create_serving_app
from tests.modeling.tiny import CONTEXT_TOKENS
from tests.server.conftest import serving

TOKEN = "secret-of-this-worker"
ASK = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 6, "seed": 1}


@pytest.fixture
async def client(store: Store, loader: ModelLoader) -> AsyncIterator[httpx2.AsyncClient]:
    models = Serving(store, loader)
    async with serving(create_serving_app(store, models, TOKEN)) as url:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as opened:
            yield opened
        await models.close()


async def ask(client: httpx2.AsyncClient, **changes: Any) -> dict[str, Any]:
    reply = await client.post("/generate", json={**ASK, **changes})
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


async def test_a_completion_comes_with_its_counts(client: httpx2.AsyncClient) -> None:
    reply = await ask(client)
    assert reply["finish_reason"] in ("length", "stop")
    assert 1 <= reply["output_tokens"] <= 6
    assert reply["prompt_tokens"] > 5


async def test_a_seed_repeats_and_temperature_zero_needs_none(client: httpx2.AsyncClient) -> None:
    assert (await ask(client))["text"] == (await ask(client))["text"]
    cold = [await ask(client, temperature=0.0, seed=seed) for seed in (1, 2)]
    assert cold[0] == cold[1]


async def test_a_conversation_with_tools_is_rendered_whole(client: httpx2.AsyncClient) -> None:
    call = {"call_id": "call_1", "name": "search", "arguments": '{"query": "a"}'}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "reasoning": "hm", "tool_calls": [call]},
        {"role": "tool", "content": "found", "call_id": "call_1", "name": "search"},
    ]
    tools = [{"name": "search", "description": "Find.", "parameters": {"type": "object"}}]
    bare = await ask(client, messages=messages)
    assert (await ask(client, messages=messages, tools=tools))["prompt_tokens"] > bare["prompt_tokens"] + 50


async def test_a_conversation_that_does_not_fit_is_refused(client: httpx2.AsyncClient) -> None:
    long = [{"role": "user", "content": "\u00e9!?x" * CONTEXT_TOKENS}]
    reply = await client.post("/generate", json={**ASK, "messages": long})
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "context_length_exceeded"


async def test_only_the_holder_of_the_token_is_served(client: httpx2.AsyncClient) -> None:
    for header in ("Bearer other", "", "Bearer \u00e9"):
        reply = await client.post("/generate", json=ASK, headers={"Authorization": header.encode()})
        assert reply.status_code == 401
        assert TOKEN not in reply.text


async def test_an_unknown_model_is_named(client: httpx2.AsyncClient) -> None:
    reply = await client.post("/generate", json={**ASK, "model": "no-such-model"})
    assert reply.status_code == 404
    assert "no-such-model" in reply.json()["error"]["message"]


async def test_a_model_whose_files_vanished_is_not_available(client: httpx2.AsyncClient, store: Store) -> None:
    assert store.settings.models_dir is not None
    (store.settings.models_dir / "tiny" / "model.safetensors").unlink()
    reply = await client.post("/generate", json=ASK)
    assert reply.status_code == 503
    assert reply.json()["error"]["message"]
