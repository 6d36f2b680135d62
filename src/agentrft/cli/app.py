"""The command tree, and the one place where errors become messages for people."""

import sys
from collections.abc import Sequence
from typing import Annotated

import httpx2
import openai
import typer
from rich.console import Console

import agentrft
from agentrft.cli import demo, files, graders, jobs, models, regrade, serve_tools, up
from agentrft.cli.connection import NoKey, explain
from agentrft.cli.streaming import BrokenOff
from agentrft.demo.follow import JobNotSucceeded
from agentrft.demo.lock import AlreadyRunning
from agentrft.demo.processes import ProcessFailed

app = typer.Typer(
    name="agentrft",
    help="Self-hosted Agent RFT: reinforcement fine-tuning of agents that use tools, behind OpenAI's fine-tuning API.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="up")(up.up)
app.command(name="demo")(demo.demo)
app.command(name="serve-tools")(serve_tools.serve_tools)
app.add_typer(jobs.app, name="jobs")
app.add_typer(files.app, name="files")
app.add_typer(models.app, name="models")
app.add_typer(graders.app, name="graders")
app.command(name="regrade")(regrade.regrade)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"agentrft {agentrft.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Commands that talk to a server find it by AGENTRFT_URL or OPENAI_BASE_URL (default: the local one)."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; ends with SystemExit."""
    try:
        app(args=argv)
    except openai.APIError as error:
        _fail(explain(error))
    except httpx2.HTTPError as error:
        _fail(f"A tool server did not answer: {error}")
    except (NoKey, BrokenOff, ProcessFailed, JobNotSucceeded, AlreadyRunning) as error:
        _fail(str(error))


def _fail(message: str) -> None:
    Console(stderr=True).print(f"error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(1)
