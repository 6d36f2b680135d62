"""Everything about a job that can be known before compute is spent: model, files, rows, tools, grader, judges."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentrft.chat import supported_family
from agentrft.datasets import check_tools, load_demonstrations, load_items
from agentrft.domain.errors import UserError
from agentrft.domain.job import JudgeEndpoint, Method
from agentrft.grading import find_judges, validate_grader
from agentrft.store import Settings, Store
from agentrft.store.rows import ModelRow
from agentrft.wire.job_request import JobSpec


async def check_job(store: Store, project_id: str, spec: JobSpec) -> ModelRow:
    """Check what a well-formed request names; returns the model to start from.

    Raises:
        UserError: with the dotted path of what is to be mended.
    """
    model = await find_model(store, project_id, spec.model)
    await _check_family(store, model)
    if spec.method is Method.REINFORCEMENT and spec.validation_file is None:
        message = "Missing required parameter: 'validation_file'. Reinforcement fine-tuning measures progress on it."
        raise UserError(message, param="validation_file", code="missing_required_parameter")
    training = await _find_file(store, project_id, spec.training_file, param="training_file")
    validation = None
    if spec.validation_file is not None:
        validation = await _find_file(store, project_id, spec.validation_file, param="validation_file")
    _check_mcp_servers(store.settings, spec)
    await asyncio.to_thread(_check_rows, store.settings, spec, training, validation)
    return model


async def check_grader(store: Store, project_id: str, spec: JobSpec) -> JobSpec:
    """The job with its grader in normal form.

    Raises:
        UserError: with the dotted path of what is to be mended.
    """
    if spec.grader is None:
        return spec
    at = f"method.{spec.method.value}"
    grader = await _read_grader(store, project_id, spec.grader, param=f"{at}.grader")
    if grader["type"] == "ruler" and spec.settings[spec.method.value]["hyperparameters"]["eval_samples"] == 1:
        param = f"{at}.hyperparameters.eval_samples"
        message = f"'{param}' is 1, but a ruler compares attempts with each other: give at least 2, or \"auto\"."
        raise UserError(message, param=param, code="invalid_value")
    return spec.with_grader(grader)


async def check_monitors(store: Store, project_id: str, spec: JobSpec) -> JobSpec:
    """The job with its monitor graders in normal form.

    Raises:
        UserError: with the dotted path of what is to be mended.
    """
    read: list[Mapping[str, Any]] = []
    for index, given in enumerate(spec.monitor_graders):
        param = f"method.reinforcement.agentrft.monitor_graders[{index}]"
        grader = await _read_grader(store, project_id, given, param=param, trains=False)
        if grader["type"] == "ruler":
            message = "A ruler compares the attempts of a group; a monitor grader must be able to grade one alone."
            raise UserError(message, param=f"{param}.type", code="unsupported_value")
        name = grader["name"]
        if any(other["name"] == name for other in read):
            message = f"The monitor grader '{name}' is given twice. Metrics are told by name: give each its own."
            raise UserError(message, param=f"{param}.name", code="invalid_value")
        read.append(grader)
    return spec.with_monitors(read) if read else spec


async def _read_grader(
    store: Store, project_id: str, given: Mapping[str, Any], *, param: str, trains: bool = True
) -> Mapping[str, Any]:
    grader = await asyncio.to_thread(validate_grader, given, param=param, trains=trains)
    await check_judges(store, project_id, grader, param=param)
    return grader


async def check_judges(
    store: Store, project_id: str, grader: Mapping[str, Any], *, param: str
) -> Mapping[str, JudgeEndpoint]:
    """The judges that a grader asks. Raises UserError for those that this installation does not know."""

    async def find(name: str) -> JudgeEndpoint | None:
        return await store.judges.find(project_id, name)

    return await find_judges(grader, find, param=param)


async def find_model(store: Store, project_id: str, name: str) -> ModelRow:
    """Raises UserError with status 404 when there is no such model."""
    model = await store.models.find(project_id, name)
    if model is None:
        message = f"The model `{name}` does not exist or you do not have access to it."
        raise UserError(message, param="model", code="model_not_found", status=404)
    return model


async def _check_family(store: Store, model: ModelRow) -> None:
    try:
        supported_family(await store.models.config(model))
    except UserError as error:
        raise UserError(error.message, param="model", code=error.code or "unsupported_model") from None


def _check_mcp_servers(settings: Settings, spec: JobSpec) -> None:
    for index, server in enumerate(spec.mcp_servers):
        if server.command is not None and not settings.allow_mcp_stdio:
            message = (
                f"The MCP server '{server.name}' is a command that the worker would run on its own machine, which this "
                "installation does not allow. Serve it over HTTP and give its 'url', or have the operator start server "
                "and worker with AGENTRFT_ALLOW_MCP_STDIO=true."
            )
            param = f"method.reinforcement.agentrft.mcp_servers[{index}].command"
            raise UserError(message, param=param, code="mcp_stdio_not_allowed")


async def _find_file(store: Store, project_id: str, file_id: str, *, param: str) -> Path:
    file = await store.files.find(project_id, file_id)
    if file is None:
        raise UserError(f"No such File object: {file_id}", param=param, code="invalid_value")
    if file.purpose != "fine-tune":
        message = f"File {file_id} does not have the right purpose: it is '{file.purpose}', and must be 'fine-tune'."
        raise UserError(message, param=param, code="invalid_value")
    return store.files.path(file_id)


def _check_rows(settings: Settings, spec: JobSpec, training: Path, validation: Path | None) -> None:
    files = [("training_file", training, settings.max_train_rows)]
    if validation is not None:
        files.append(("validation_file", validation, settings.max_validation_rows))
    for param, path, most in files:
        if spec.method is Method.SUPERVISED:
            count = len(load_demonstrations(path, param=param))
        else:
            items = load_items(path, param=param)
            count = len(items)
            check_tools(items, spec.tools, unused=param == "training_file", mcp_tools=spec.mcp_tools)
        _check_count(count, param=param, least=settings.min_rows, most=most)


def _check_count(count: int, *, param: str, least: int, most: int) -> None:
    label = param.replace("_", " ").capitalize()
    if count < least:
        message = f"{label} has {count} example(s), but must have at least {least} examples"
        raise UserError(message, param=param, code="invalid_n_examples")
    if count > most:
        message = f"{label} has {count} example(s), but must have at most {most} examples"
        raise UserError(message, param=param, code="invalid_n_examples")
