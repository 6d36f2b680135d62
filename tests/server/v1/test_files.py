import asyncio
from pathlib import Path

import httpx2
import openai
import pytest

from agentrft.store import Settings


async def test_a_file_makes_the_whole_round(client: openai.AsyncOpenAI, tmp_path: Path) -> None:
    path = tmp_path / "finqa_train.jsonl"
    path.write_bytes(b'{"messages": []}\n')
    made = await client.files.create(file=path, purpose="fine-tune")
    assert (made.filename, made.bytes, made.status, made.object) == ("finqa_train.jsonl", 17, "processed", "file")
    assert (await client.files.wait_for_processing(made.id)).id == made.id
    assert (await client.files.content(made.id)).read() == path.read_bytes()
    assert [file.id async for file in client.files.list(purpose="fine-tune")] == [made.id]
    assert (await client.files.delete(made.id)).deleted
    with pytest.raises(openai.NotFoundError, match="No such File object"):
        await client.files.retrieve(made.id)


async def test_pages_of_files_are_walked_by_the_sdk(client: openai.AsyncOpenAI) -> None:
    ids = [(await client.files.create(file=b"x", purpose="evals")).id for _ in range(3)]
    assert [file.id async for file in client.files.list(limit=2, order="asc")] == ids


async def test_an_expiry_is_kept(client: openai.AsyncOpenAI) -> None:
    expiry = {"anchor": "created_at", "seconds": 3600}
    made = await client.files.create(file=b"{}", purpose="evals", expires_after=expiry)
    assert made.expires_at == made.created_at + 3600
    assert made.filename == "upload"


async def test_a_fine_tuning_file_with_a_bad_line_says_so(client: openai.AsyncOpenAI) -> None:
    made = await client.files.create(file=b'{"a": 1}\n[1]\n', purpose="fine-tune")
    assert made.status == "error"
    assert made.status_details is not None
    assert "Example 2" in made.status_details


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"purpose": "nonsense"}, "purpose"),
        ({}, "purpose"),
        ({"purpose": "evals", "foo": "1"}, "foo"),
        ({"purpose": "evals", "expires_after[anchor]": "created_at"}, "expires_after.seconds"),
        ({"purpose": "evals", "expires_after[seconds]": "4000"}, "expires_after.anchor"),
        (
            {"purpose": "evals", "expires_after[anchor]": "created_at", "expires_after[seconds]": "5"},
            "expires_after.seconds",
        ),
    ],
)
async def test_a_bad_form_is_refused(http: httpx2.AsyncClient, fields: dict[str, str], param: str) -> None:
    reply = await http.post("/v1/files", data=fields, files={"file": ("a.jsonl", b"{}")})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


async def test_a_form_without_a_file_is_refused(http: httpx2.AsyncClient) -> None:
    reply = await http.post("/v1/files", files={"purpose": (None, b"evals")})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "file")
    reply = await http.post("/v1/files", json={"purpose": "evals"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_content_type")


async def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(
    client: openai.AsyncOpenAI, settings: Settings
) -> None:
    for size in (settings.max_file_bytes + 1, settings.max_file_bytes + 2_000_000):
        with pytest.raises(openai.APIStatusError) as caught:
            await client.files.create(file=b"x" * size, purpose="evals")
        assert caught.value.status_code == 413
    assert left_over(settings) == []


async def test_an_upload_that_breaks_off_leaves_nothing(base_url: str, settings: Settings) -> None:
    host, port = base_url.removeprefix("http://").split(":")
    head = (
        "POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-test-0123456789abcdef\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 90000\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    )
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + b"x" * 20_000)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with httpx2.AsyncClient(trust_env=False) as other:
        assert (await other.get(f"{base_url}/healthz")).status_code == 200
    assert left_over(settings) == []


def left_over(settings: Settings) -> list[Path]:
    return [path for name in ("files", "uploads") for path in (settings.data_dir / name).iterdir()]
