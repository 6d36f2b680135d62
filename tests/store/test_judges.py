from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agentrft.domain.errors import UserError
from agentrft.store import Settings, Store, open_store
from agentrft.store.keys import DEFAULT_PROJECT
from agentrft.store.settings import JudgeSettings


async def find(settings: Settings, name: str) -> Any:
    async with open_store(settings) as store:
        return await store.judges.find(DEFAULT_PROJECT, name)


def with_judges(settings: Settings, **fields: Any) -> Settings:
    return settings.model_copy(update=fields)


async def test_a_configured_judge_is_asked_where_the_settings_say(settings: Settings, monkeypatch: Any) -> None:
    monkeypatch.setenv("JUDGE_KEY", "sk-hush-hush\n")
    entry = JudgeSettings(base_url="https://h/v1/", key_variable="JUDGE_KEY", model="Qwen/Q", max_concurrency=2)
    judge = await find(with_judges(settings, judges={"tiny": entry}), "tiny")  # before the model of that name
    assert (judge.name, judge.model, judge.url) == ("tiny", "Qwen/Q", "https://h/v1/chat/completions")
    assert (judge.headers, judge.structured, judge.text_only) == ({"Authorization": "Bearer sk-hush-hush"}, True, False)
    assert (judge.max_concurrency, judge.timeout_s, judge.deadline_s) == (2, 120.0, 300.0)
    assert "hush" not in repr(judge)


async def test_a_judge_without_a_key_variable_is_asked_without_a_key(settings: Settings) -> None:
    judge = await find(with_judges(settings, judges={"q": JudgeSettings(base_url="http://h:1/v1")}), "q")
    assert judge.headers == {}


async def test_a_key_variable_that_is_not_set_is_named(settings: Settings, monkeypatch: Any) -> None:
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    entry = JudgeSettings(base_url="http://h:1/v1", key_variable="JUDGE_KEY")
    with pytest.raises(UserError, match="the variable JUDGE_KEY") as caught:
        await find(with_judges(settings, judges={"q": entry}), "q")
    assert caught.value.code == "judge_without_key"


async def test_models_of_ours_are_asked_over_the_servers_own_api(settings: Settings, store: Store) -> None:
    store.judges.announce("0.0.0.0", 8123)
    for name in ("tiny", "gpt-5"):  # a base and an alias of it
        judge = await store.judges.find(DEFAULT_PROJECT, name)
        assert judge is not None
        assert (judge.model, judge.url) == (name, "http://127.0.0.1:8123/v1/chat/completions")
        assert (judge.structured, judge.text_only) == (False, True)
        assert judge.headers == {"Authorization": f"Bearer {store.judges.own_key}"}
    await store.keys.accept(store.judges.own_key)
    assert await store.keys.find(store.judges.own_key) is not None


async def test_server_and_worker_derive_the_same_key_and_others_another(settings: Settings, tmp_path: Path) -> None:
    async with open_store(settings) as server, open_store(settings) as worker:
        assert server.judges.own_key == worker.judges.own_key
        async with open_store(settings.model_copy(update={"data_dir": tmp_path / "other"})) as other:
            assert other.judges.own_key != server.judges.own_key


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, "http://127.0.0.1:8000/v1/chat/completions"),
        ({"host": "::1", "port": 9}, "http://[::1]:9/v1/chat/completions"),
        ({"server_url": "https://rft.example.com/"}, "https://rft.example.com/v1/chat/completions"),
    ],
)
async def test_where_the_server_is_can_be_told_by_the_settings(settings: Settings, fields: Any, url: str) -> None:
    judge = await find(with_judges(settings, **fields), "tiny")
    assert judge.url == url


async def test_openai_is_asked_for_its_own_models_once_there_is_a_key(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("AGENTRFT_OPENAI_API_KEY", "sk-openai-hush")
    settings = Settings(data_dir=tmp_path / "data", models_dir=tmp_path)
    judge = await find(settings, "gpt-4.1-mini-2025-04-14")
    assert judge.url == "https://api.openai.com/v1/chat/completions"
    assert judge.headers == {"Authorization": "Bearer sk-openai-hush"}
    assert await find(settings, "claude-9") is None
    assert await find(settings.model_copy(update={"openai_api_key": None}), "gpt-4.1") is None
    assert "hush" not in repr(settings)


def test_judges_are_read_from_the_environment(monkeypatch: Any) -> None:
    monkeypatch.setenv("AGENTRFT_JUDGES", '{"q": {"base_url": "http://h/v1", "structured_output": false}}')
    assert Settings().judges["q"].structured_output is False
    monkeypatch.setenv("AGENTRFT_JUDGES", '{"q": {"base_url": "h/v1"}}')
    with pytest.raises(ValidationError):
        Settings()
