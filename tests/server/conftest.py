import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import uvicorn

from agentrft.server import create_app
from agentrft.store import Settings, Store, open_store

API_KEY = "sk-test-0123456789abcdef"

SEARCH = {
    "type": "function",
    "function": {"name": "search", "description": "find", "parameters": {"type": "object", "properties": {}}},
}
ROW = {"messages": [{"role": "user", "content": "How much?"}], "tools": [SEARCH], "reference_answer": "42"}
TOOL = {"name": "search", "server_url": "http://127.0.0.1:9/search", "headers": {"Authorization": "Bearer hush-hush"}}
GRADER = {
    "type": "string_check", "name": "exact", "operation": "eq",
    "input": "{{sample.output_text}}", "reference": "{{item.reference_answer}}",
}  # fmt: skip


@asynccontextmanager
async def serving(app: Any, port: int = 0) -> AsyncIterator[str]:
    """A real server on a port of the loopback, a free one by default; gives its address."""
    config = uvicorn.Config(app, host="127.0.0.1", port=port, ws="none", log_config=None, lifespan="on")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()  # and not `serve`, which sleeps a while before it ends
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        for listener in server.servers:
            listener.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        await server.lifespan.shutdown()


@pytest.fixture
def run_app() -> Any:
    """Run another app: `async with run_app(app) as url`."""
    return serving


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for name, config in (("tiny", {"model_type": "qwen3"}), ("odd", {"model_type": "no-such-family"})):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "config.json").write_text(json.dumps(config))
    return Settings(
        data_dir=tmp_path / "data",
        models_dir=tmp_path / "models",
        aliases={"gpt-5": "tiny"},
        api_key=API_KEY,
        max_file_bytes=100_000,
        generate_timeout_s=5,
    )


@pytest.fixture
async def base_url(settings: Settings) -> AsyncIterator[str]:
    async with serving(create_app(settings)) as url:
        yield url


@pytest.fixture
async def store(settings: Settings, base_url: str) -> AsyncIterator[Store]:
    """The same store, opened once more, as a worker does."""
    async with open_store(settings) as opened:
        yield opened


@pytest.fixture
async def client(base_url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key=API_KEY, base_url=f"{base_url}/v1", max_retries=0) as opened:
        yield opened


@pytest.fixture
async def http(base_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with httpx2.AsyncClient(base_url=base_url, headers=headers, trust_env=False) as opened:
        yield opened


Put = Callable[..., Awaitable[str]]


@pytest.fixture
def put(client: openai.AsyncOpenAI) -> Put:
    """Upload rows (objects, or lines as they are); gives the file's id."""

    async def run(*rows: object, purpose: Any = "fine-tune") -> str:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        file = await client.files.create(file=("rows.jsonl", "\n".join(lines).encode()), purpose=purpose)
        return file.id

    return run


@pytest.fixture
async def job_body(put: Put) -> dict[str, Any]:
    """A reinforcement job that can be created."""
    return {
        "model": "tiny",
        "training_file": await put(*[ROW] * 3),
        "validation_file": await put(ROW),
        "suffix": "demo",
        "seed": 42,
        "method": {
            "type": "reinforcement",
            "reinforcement": {
                "tools": [TOOL],
                "grader": GRADER,
                "response_format": None,
                "max_episode_steps": 8,
                "hyperparameters": {"batch_size": 2, "n_epochs": 1},
            },
        },
    }
