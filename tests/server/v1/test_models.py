import openai
import pytest


async def test_models_and_aliases_are_listed(client: openai.AsyncOpenAI) -> None:
    names = [model.id async for model in client.models.list()]
    assert {"tiny", "odd", "gpt-5"} <= set(names)
    assert (await client.models.retrieve("gpt-5")).id == "gpt-5"


async def test_an_unknown_model_is_not_found_and_a_base_model_stays(client: openai.AsyncOpenAI) -> None:
    for call in (client.models.retrieve, client.models.delete):
        with pytest.raises(openai.NotFoundError, match="The model `ft:a/b:c` does not exist"):
            await call("ft:a/b:c")
    with pytest.raises(openai.BadRequestError, match="base model"):
        await client.models.delete("tiny")
