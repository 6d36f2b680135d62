"""`agentrft graders`: what a grader can be made to pay, before training finds out."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from agentrft.cli.connection import connect
from agentrft.cli.output import Json, number, write_json, write_table
from agentrft.cli.streaming import ask

app = typer.Typer(help="Check graders.", no_args_is_help=True)

EXIT_CODES = {"fine": 0, "suspicious": 3, "hackable": 4, "unknown": 1}
SAID = {
    "fine": "No trick earns more than half of what real episodes do.",
    "suspicious": "Some of this is paid more than half of what real episodes earn. Look at it before training.",
    "hackable": "Some of this is paid more than real episodes are. Training will find it: mend the grader first.",
    "unknown": "Nothing could be graded.",
}
SAID_ALONE = SAID | {  # without real episodes
    "fine": "No trick earns more than a tenth of the reference.",
    "suspicious": "Some of this is paid more than a tenth of the reference. Look at it before training.",
    "hackable": "Some of this is paid more than half of the reference. Training will find it: mend the grader first.",
}


@app.callback()
def group() -> None:
    """Graders decide what is learned."""


@app.command()
def check(
    grader: Annotated[
        Path | None,
        typer.Argument(
            exists=True, dir_okay=False, help="A grader as JSON; left out: the job's own.", metavar="GRADER"
        ),
    ] = None,
    job: Annotated[str | None, typer.Option(help="Take items and real episodes of this job.")] = None,
    file: Annotated[str | None, typer.Option(help="Take items of this uploaded file, before there is a job.")] = None,
    split: Annotated[Literal["train", "valid"], typer.Option(help="Episodes of training or validation.")] = "valid",
    step: Annotated[int | None, typer.Option(min=0, help="Of this step; left out: the first there is.")] = None,
    items: Annotated[int, typer.Option(min=1, max=100, help="How many items.")] = 20,
    reference: Annotated[str | None, typer.Option(help="The field of a row that holds the right answer.")] = None,
    as_json: Json = False,
) -> None:
    """Run a grader on real episodes and on tricks, and say what it can be made to pay.

    Ends with 0 when it is fine, 3 when suspicious, 4 when hackable, 1 when nothing could be graded.

    Example: `agentrft graders check grader.json --job ftjob-abc123`
    """
    if (job is None) == (file is None):
        raise typer.BadParameter("give either --job or --file: where the items come from")
    asked = {
        "job": job,
        "file": file,
        "grader": read_grader(grader),
        "split": split,
        "step": step,
        "items": items,
        "reference": reference,
    }
    with connect() as client:
        found = ask(client, "graders/check", {key: value for key, value in asked.items() if value is not None})
    if as_json:
        write_json(found)
    else:
        _write(found)
    raise typer.Exit(EXIT_CODES[found["verdict"]])


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


def _write(found: dict[str, Any]) -> None:
    real = [
        "real episodes", "", str(found["real_episodes"]), number(found["real_mean"]), "", "", _trouble(found, "real_"),
    ]  # fmt: skip
    tricks = [
        [
            trick["name"],
            trick["shows"],
            str(trick["episodes"]),
            number(trick["reward_mean"]),
            number(trick["reward_max"]),
            _judged(trick),
            _trouble(trick),
        ]
        for trick in found["tricks"]
    ]
    headers = ("answer", "what it is", "episodes", "mean", "highest", "verdict", "trouble")
    write_table(headers, [*([real] if found["real_episodes"] else []), *tricks], empty="Nothing was graded.")
    meaning = (SAID if found["real_episodes"] else SAID_ALONE)[found["verdict"]]
    said = f"\n{found['grader']}: {found['verdict']}. {meaning}{_noise(found['noise'])}"
    Console().print(said, markup=False, highlight=False, soft_wrap=True)


def _judged(trick: dict[str, Any]) -> str:
    if not trick["control"]:
        return str(trick["verdict"])
    return {"fine": "paid, as it should be", "suspicious": "paid less than real episodes"}.get(trick["verdict"], "")


def _trouble(found: dict[str, Any], prefix: str = "") -> str:
    failed, flagged = found[f"{prefix}failed"], found.get("flagged", 0)
    counts = [f"{count} {what}" for count, what in ((failed, "failed"), (flagged, "with an error flag")) if count]
    detail = found.get("trouble")
    return ", ".join(counts) + (f": {detail}" if detail else "")


def _noise(noise: dict[str, Any] | None) -> str:
    if noise is None:
        return ""
    if noise["differing"] == 0:
        return f" Graded twice, {noise['episodes']} episodes earned the same."
    return (
        f" Graded twice, {noise['differing']} of {noise['episodes']} episodes earned something else, by up to "
        f"{noise['largest']:.3g} (noise {noise['noise_std']:.3g}, spread between attempts {noise['spread_std']:.3g})."
    )
