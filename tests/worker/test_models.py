import shutil
from pathlib import Path

import pytest
import torch

from agentrft.domain.episode import Message
from agentrft.domain.errors import JobFailed, UserError
from agentrft.domain.training import LoraConfig
from agentrft.modeling.adapters import new_adapters, save_adapters
from agentrft.store.rows import ModelRow
from agentrft.training.policy import FullPolicy, LoraPolicy
from agentrft.worker.models import ModelLoader


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_folder, tmp_path / "tiny")
    return tmp_path / "tiny"


def base_row(folder: Path) -> ModelRow:
    return ModelRow(name="tiny", base="tiny", source=f"folder:{folder}", base_source=f"folder:{folder}", created_at=0)


def tuned_row(base: Path, own: Path) -> ModelRow:
    return ModelRow(
        name="ft:tiny",
        base="tiny",
        source=f"folder:{own}",
        base_source=f"folder:{base}",
        created_at=0,
        job_id="ftjob-1",
    )


async def test_a_base_is_loaded_once(loader: ModelLoader, folder: Path) -> None:
    one, two = await loader.load(base_row(folder)), await loader.load(base_row(folder))
    assert loader.weights(one) is loader.weights(two)
    assert one.shapes.embedding_VH.is_meta
    assert loader.weights(one).embedding_VH.dtype == torch.bfloat16
    assert one.adapters is None
    assert one.chat.open([Message(role="user", content="Hi")], [])


async def test_a_fine_tuned_adapter_comes_with_its_base(loader: ModelLoader, folder: Path, tmp_path: Path) -> None:
    loaded = await loader.load(base_row(folder))
    lora = LoraConfig(rank=2, alpha=4.0)
    save_adapters(new_adapters(loaded.shapes, lora, 3), loaded.shapes.config, tmp_path / "own")
    tuned = await loader.load(tuned_row(folder, tmp_path / "own"))
    assert tuned.adapters is not None
    assert tuned.adapters.lora == lora
    assert loader.weights(tuned) is loader.weights(loaded)
    assert tuned.folder == folder


async def test_fine_tuned_weights_are_a_base_of_their_own(loader: ModelLoader, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "own")
    tuned = await loader.load(tuned_row(folder, tmp_path / "own"))
    assert tuned.adapters is None
    assert loader.weights(tuned) is not loader.weights(await loader.load(base_row(folder)))


async def test_a_model_whose_files_are_gone_is_a_reason_to_fail(loader: ModelLoader, tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match="gone") as failed:
        await loader.load(base_row(tmp_path / "nowhere"))
    assert failed.value.code == "model_not_available"


async def test_an_adapter_whose_files_are_gone_is_a_reason_to_fail(
    loader: ModelLoader, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(JobFailed, match="gone"):
        await loader.load(tuned_row(folder, tmp_path / "nowhere"))


async def test_a_model_without_a_tokenizer_is_a_reason_to_fail(loader: ModelLoader, folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(JobFailed, match=r"tokenizer\.json"):
        await loader.load(base_row(folder))


async def test_a_family_without_a_chat_format_is_refused(loader: ModelLoader, folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "gemma3"}')
    with pytest.raises(UserError, match="gemma3"):
        await loader.load(base_row(folder))


async def test_a_job_starts_from_new_adapters_those_it_has_or_all_weights(
    loader: ModelLoader, folder: Path, tmp_path: Path
) -> None:
    loaded = await loader.load(base_row(folder))
    fresh = loader.start_policy(loaded, LoraConfig(rank=2, alpha=2.0), seed=1)
    assert isinstance(fresh, LoraPolicy)
    assert fresh.adapters.lora.rank == 2
    assert isinstance(loader.start_policy(loaded, None, seed=1), FullPolicy)
    save_adapters(fresh.adapters, loaded.shapes.config, tmp_path / "own")
    tuned = await loader.load(tuned_row(folder, tmp_path / "own"))
    again = loader.start_policy(tuned, LoraConfig(rank=2, alpha=2.0), seed=2)
    assert isinstance(again, LoraPolicy)
    assert torch.equal(again.adapters.parameters()[0], fresh.adapters.parameters()[0])
    with pytest.raises(JobFailed, match="rank 2"):
        loader.start_policy(tuned, LoraConfig(rank=4), seed=2)
