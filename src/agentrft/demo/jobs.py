"""The demo's two jobs, created through the official `openai` SDK as any user of Agent RFT creates them."""

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob
from openai.types.fine_tuning.job_create_params import Method

from agentrft.demo import grader
from agentrft.demo.recipe import Recipe

FINISHED = frozenset({"succeeded", "failed", "cancelled"})

Row = Mapping[str, Any]


def upload(client: OpenAI, name: str, rows: Iterable[Row]) -> str:
    """Upload rows as a JSONL file; its id."""
    content = "".join(json.dumps(row) + "\n" for row in rows)
    return client.files.create(file=(name, content.encode()), purpose="fine-tune").id


def create_cold_start(client: OpenAI, recipe: Recipe, *, training_file: str, suffix: str, seed: int) -> FineTuningJob:
    """A short supervised job on demonstrations, so that reinforcement starts from a model that is sometimes right."""
    return client.fine_tuning.jobs.create(
        model=recipe.base_model,
        training_file=training_file,
        method=_method("supervised", cold_start_method(recipe)),
        suffix=suffix,
        seed=seed,
    )


def cold_start_method(recipe: Recipe) -> dict[str, Any]:
    """The cold start's `method.supervised`."""
    return {
        "hyperparameters": {"n_epochs": recipe.cold_start_epochs, "batch_size": recipe.cold_start_batch_size},
        "agentrft": {
            "learning_rate": recipe.cold_start_learning_rate,
            "lora_rank": recipe.lora_rank,
            "max_context_tokens": recipe.max_context_tokens,
        },
    }


def create_reinforcement(
    client: OpenAI,
    method: Mapping[str, Any],
    *,
    model: str,
    training_file: str,
    validation_file: str,
    suffix: str,
    seed: int,
) -> FineTuningJob:
    """A reinforcement job. `method` is the content of `method.reinforcement`."""
    return client.fine_tuning.jobs.create(
        model=model,
        training_file=training_file,
        validation_file=validation_file,
        method=_method("reinforcement", method),
        suffix=suffix,
        seed=seed,
    )


def demo_method(recipe: Recipe, tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The demo's `method.reinforcement`: what OpenAI's API has, and the rest under `agentrft`."""
    return {
        "tools": list(tools),
        "grader": {"type": "python", "name": "answer", "source": inspect.getsource(grader)},
        "response_format": None,
        "max_episode_steps": recipe.max_episode_steps,
        "hyperparameters": {
            "batch_size": recipe.batch_size,
            "n_epochs": recipe.reinforcement_epochs,
            "eval_interval": recipe.eval_interval,
            "eval_samples": recipe.eval_samples,
            "compute_multiplier": recipe.group_size / 16,
            "reasoning_effort": "default",
        },
        "agentrft": {
            "group_size": recipe.group_size,
            "train_attempts": recipe.train_attempts,
            "learning_rate": recipe.learning_rate,
            "max_steps": recipe.total_steps,
            "max_turn_tokens": recipe.max_turn_tokens,
            "max_context_tokens": recipe.max_context_tokens,
            "max_refills": recipe.max_refills,
            "lora_rank": recipe.lora_rank,
            "penalty": {
                "weight": recipe.penalty_weight,
                "scale_by_pass_rate": recipe.penalty_scale_by_pass_rate,
            },
        },
    }


def tool_endpoints(url: str, names: Iterable[str], *, token: str) -> list[dict[str, Any]]:
    """`tools` of a job: one endpoint a tool at `<url>/<name>`, each call with the bearer token."""
    headers = {"Authorization": f"Bearer {token}"}
    return [{"name": name, "server_url": f"{url}/{name}", "headers": headers} for name in names]


def cancel_unfinished(client: OpenAI) -> int:
    """Cancel the jobs that an earlier, interrupted run left behind; how many there were."""
    unfinished = [job for job in client.fine_tuning.jobs.list() if job.status not in FINISHED]
    for job in unfinished:
        client.fine_tuning.jobs.cancel(job.id)
    return len(unfinished)


def _method(kind: str, content: Mapping[str, Any]) -> Method:
    """The SDK sends what it is given; its type does not know the keys of Agent RFT, nor ours."""
    return cast(Method, {"type": kind, kind: dict(content)})
