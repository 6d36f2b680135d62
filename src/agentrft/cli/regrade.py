"""`agentrft regrade`: what another grader would have paid."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from agentrft.cli.connection import connect
from agentrft.cli.graders import read_grader
from agentrft.cli.jobs import JobId
from agentrft.cli.output import Json, number, write_json, write_table
from agentrft.cli.streaming import ask

ANSWER_CHARS = 40


def regrade(
    job_id: JobId,
    grader: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The other grader, as JSON.")],
    split: Annotated[
        Literal["train", "valid"] | None, typer.Option(help="Only episodes of training, or of validation.")
    ] = None,
    step: Annotated[int | None, typer.Option(min=0, help="Only episodes of this step.")] = None,
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, writable=True, help="Write every episode to this file, as JSONL.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Grade stored episodes of a job anew and show how rewards would have differed; nothing stored changes.

    Example: `agentrft regrade ftjob-abc123 --grader new.json`
    """
    if out and not out.absolute().parent.is_dir():
        raise typer.BadParameter(f"the folder of {out} does not exist", param_hint="--out")
    asked = {"grader": read_grader(grader), "split": split, "step": step, "episodes": out is not None}
    with connect() as client:
        path = f"jobs/{job_id}/regrade"
        found = ask(client, path, {key: value for key, value in asked.items() if value is not None})
    if out:
        lines = [json.dumps(episode, ensure_ascii=False) + "\n" for episode in found.pop("episodes")]
        out.write_text("".join(lines), encoding="utf-8")
    if as_json:
        write_json(found)
    else:
        _write(found)


def _write(found: dict[str, Any]) -> None:
    headers = ("split", "step", "episodes", "failed", "old mean", "new mean", "changed", "rank corr.", "groups +/-")
    rows = [_row(each) for each in found["steps"]]
    write_table(headers, [*rows, _row({**found["total"], "split": "all", "step": ""})], empty="")
    console = Console()
    if found["steps_left_out"]:
        console.print(f"\n{found['steps_left_out']} later steps were left out: grade them by --step.", highlight=False)
    if found["movers"]:
        console.print("\nMoved most:", highlight=False)
        movers = [
            [
                f"{each['split']} {each['step']}",
                str(each["item_index"]),
                number(each["old"]),
                number(each["new"]),
                " ".join(each["answer"].split())[:ANSWER_CHARS],
                each["trace_id"],
            ]
            for each in found["movers"]
        ]
        write_table(("step", "item", "old", "new", "answer", "trace"), movers, empty="")


def _row(each: dict[str, Any]) -> list[str]:
    changed = each["changed_share"]
    return [
        each["split"],
        str(each["step"]),
        str(each["episodes"]),
        str(each["failed"]),
        number(each["old_mean"]),
        number(each["new_mean"]),
        "-" if changed is None else f"{changed:.0%}",
        number(each["spearman"], 2),
        f"+{each['groups_gained']} -{each['groups_lost']} of {each['groups']}",
    ]
