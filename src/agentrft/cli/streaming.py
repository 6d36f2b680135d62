"""Long work of the server: its progress while it lasts, and its result."""

from collections.abc import Mapping
from typing import Any, cast

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
