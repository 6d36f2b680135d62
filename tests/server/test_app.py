import logging
import subprocess
import sys
from pathlib import Path

import httpx2
import openai
import pytest

from agentrft.server import create_app
from agentrft.store import Settings


async def test_a_call_without_a_good_key_is_refused_in_openais_envelope(base_url: str) -> None:
    async with openai.AsyncOpenAI(api_key="sk-wrong-secret", base_url=f"{base_url}/v1", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError) as caught:
            await stranger.models.list()
    assert (caught.value.code, caught.value.type) == ("invalid_api_key", "invalid_request_error")
    assert "sk-wrong-secret" not in str(caught.value)
    async with httpx2.AsyncClient(trust_env=False) as anonymous:
        for path in ("/v1/files", "/v1/fine_tuning/jobs", "/agentrft/v1/jobs/x/metrics"):
            reply = await anonymous.get(base_url + path)
            assert (reply.status_code, set(reply.json()["error"])) == (401, {"message", "type", "param", "code"})


async def test_every_answer_has_a_request_id(http: httpx2.AsyncClient) -> None:
    reply = await http.get("/v1/models")
    assert reply.headers["x-request-id"].startswith("req_")
    assert int(reply.headers["openai-processing-ms"]) >= 0
    assert reply.headers["openai-version"] == "2020-10-01"


async def test_an_unknown_address_and_a_wrong_query_get_the_envelope(http: httpx2.AsyncClient) -> None:
    reply = await http.get("/v1/nothing")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unknown_url")
    assert (await http.put("/v1/files")).status_code == 405
    reply = await http.get("/v1/fine_tuning/jobs", params={"limit": 0})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "limit")


async def test_a_body_that_is_no_json_is_refused(http: httpx2.AsyncClient) -> None:
    for content in (b"", b"{", b"\xff", b'{"seed": NaN}'):
        reply = await http.post("/v1/fine_tuning/jobs", content=content)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_json")


async def test_a_crash_becomes_an_envelope_that_is_not_retried(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(settings)

    @app.post("/v1/crash")
    async def crash() -> None:
        raise RuntimeError("inner detail")

    transport = httpx2.ASGITransport(app=app)
    with caplog.at_level(logging.ERROR):
        async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport) as inside:
            reply = await inside.post("http://test/v1/crash")
    assert (reply.status_code, reply.headers["x-should-retry"]) == (500, "false")
    assert reply.json()["error"]["type"] == "server_error"
    assert "inner detail" not in reply.text
    assert reply.headers["x-request-id"] in caplog.text


async def test_the_first_key_is_shown_once(tmp_path: Path) -> None:
    shown: list[str] = []
    for _ in range(2):
        app = create_app(Settings(data_dir=tmp_path / "data"), show_key=shown.append)
        async with app.router.lifespan_context(app):
            pass
    assert [key[:7] for key in shown] == ["sk-rft-"]


async def test_health_needs_no_key(base_url: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as anonymous:
        assert (await anonymous.get(f"{base_url}/healthz")).json() == {"status": "ok", "serving_workers": 0}


def test_the_control_plane_imports_no_torch() -> None:
    program = "import sys, agentrft.server; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
