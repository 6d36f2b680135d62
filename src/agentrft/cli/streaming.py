"""Long work of the server: its progress while it lasts, and its result."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import typer
from openai import OpenAI, Stream
from rich.console import Console
from rich.progress import Progress


class BrokenOff(Exception):
    """The server ended its answer before the result."""


def ask(client: OpenAI, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """POST to one of our own routes, and wait for the result of its stream of events.

    Raises:
        BrokenOff: there was none.
    """
    root = str(client.base_url).rstrip("/").removesuffix("/v1")
    url = f"{root}/agentrft/v1/{path}"
    events = client.post(url, body=dict(body), cast_to=object, stream=True, stream_cls=Stream[object])
    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("grading", total=None)
        for event in cast("Stream[dict[str, Any]]", events):
            if "result" in event:
                return cast("dict[str, Any]", event["result"])
            _show(shown, task, event.get("progress", {}))
    raise BrokenOff("The server ended its answer before the result. Its log has the cause.")


def _show(shown: Progress, task: Any, progress: Mapping[str, int]) -> None:
    done = progress.get("done", 0)
    total = progress.get("total")
    steps = f", step {progress['steps_done'] + 1} of {progress['steps']}" if "steps" in progress else ""
    shown.update(task, completed=done, total=total, description=f"graded {done}{steps}")


def read_grader(path: Path | None) -> dict[str, Any] | None:
    """A grader from a JSON file: as in a job's `method.reinforcement.grader`."""
    if path is None:
        return None
    try:
        grader = json.loads(path.read_text())
    except ValueError as error:
        raise typer.BadParameter(f"{path} is no JSON: {error}") from None
    if not isinstance(grader, dict):
        raise typer.BadParameter(f'{path} must hold one grader: an object with a "type"')
    return grader


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"
