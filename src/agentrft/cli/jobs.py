"""`agentrft jobs`: what is trained here, how it goes, and stopping it."""

from itertools import islice
from typing import Annotated, Any

import typer
from openai.types.fine_tuning import FineTuningJob

from agentrft.cli.connection import connect
from agentrft.cli.output import Json, moment, write_fields, write_json, write_table

app = typer.Typer(help="List, show, follow and cancel fine-tuning jobs.", no_args_is_help=True)

PAGE = 100  # the most that the API lists at once

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The id of a job, as `ftjob-...`.")]
Limit = Annotated[int, typer.Option(min=1, help="How many at most, the newest.")]


@app.command("list", epilog="Example: `agentrft jobs list --limit 5`")
def list_jobs(limit: Limit = 20, as_json: Json = False) -> None:
    """List jobs, the newest first."""
    with connect() as client:
        jobs = list(islice(client.fine_tuning.jobs.list(limit=min(limit, PAGE)), limit))
    if as_json:
        write_json(jobs)
        return
    rows = [[job.id, job.status, job.model, moment(job.created_at), job.fine_tuned_model or ""] for job in jobs]
    write_table(("id", "status", "model", "created", "fine-tuned model"), rows, empty="There are no jobs yet.")


@app.command(epilog="Example: `agentrft jobs show ftjob-abc123 --json`")
def show(job_id: JobId, as_json: Json = False) -> None:
    """Show one job: status, settings, and the reason if it failed."""
    with connect() as client:
        job = client.fine_tuning.jobs.retrieve(job_id)
    if as_json:
        write_json(job)
    else:
        write_fields(_fields(job))


@app.command(epilog="Example: `agentrft jobs events ftjob-abc123 --limit 50`")
def events(job_id: JobId, limit: Limit = 20, as_json: Json = False) -> None:
    """List what happened in a job, the oldest first."""
    with connect() as client:
        newest_first = client.fine_tuning.jobs.list_events(job_id, limit=min(limit, PAGE))
        found = list(islice(newest_first, limit))[::-1]
    if as_json:
        write_json(found)
        return
    rows = [[moment(event.created_at), event.level, event.message] for event in found]
    write_table(("time", "level", "message"), rows, empty="Nothing has happened yet.")


@app.command(epilog="Example: `agentrft jobs cancel ftjob-abc123`")
def cancel(job_id: JobId, as_json: Json = False) -> None:
    """Cancel a job; its checkpoints stay."""
    with connect() as client:
        job = client.fine_tuning.jobs.cancel(job_id)
    if as_json:
        write_json(job)
    else:
        typer.echo(f"{job.id} {job.status}")


def _fields(job: FineTuningJob) -> list[tuple[str, str]]:
    error = f"{job.error.code}: {job.error.message}" if job.error and job.error.message else ""
    return [
        ("id", job.id),
        ("status", job.status),
        ("error", error),
        ("method", job.method.type if job.method else ""),
        ("model", job.model),
        ("fine-tuned model", job.fine_tuned_model or ""),
        ("training file", job.training_file),
        ("validation file", job.validation_file or ""),
        ("created", moment(job.created_at)),
        ("finished", moment(job.finished_at)),
        ("expected to finish", moment(job.estimated_finish)),
        ("seed", str(job.seed)),
        *(("  " + name, str(value)) for name, value in _hyperparameters(job).items()),
    ]


def _hyperparameters(job: FineTuningJob) -> dict[str, Any]:
    """The settings of the job's method, as far as the server tells them."""
    method = job.method.to_dict(mode="json") if job.method else {}
    settings = method.get(str(method.get("type")))
    found = settings.get("hyperparameters") if isinstance(settings, dict) else None
    return found if isinstance(found, dict) else {}
