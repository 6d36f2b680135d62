"""`agentrft demo`: see a small model learn to use tools, on this machine, in minutes."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agentrft.cli.up import INTERRUPTED, DataDir
from agentrft.demo.processes import terminations_interrupt
from agentrft.demo.run import Options, run_demo
from agentrft.store.settings import Settings


def demo(
    seed: Annotated[int, typer.Option(min=0, help="Of companies, questions, demonstrations and training.")] = 0,
    leave: Annotated[bool, typer.Option("--exit", help="End after the table instead of staying up.")] = False,
    report: Annotated[
        Path | None, typer.Option(dir_okay=False, writable=True, help="Write the figures to this file as JSON.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Train a 135M-parameter agent with search, list and cat, and show what it has learned.

    Starts a server, a worker and a tool server; a cold start on demonstrations, then reinforcement.

    Example: `agentrft demo --exit --seed 1 --report report.json`
    """
    if report and not report.absolute().parent.is_dir():
        raise typer.BadParameter(f"the folder of {report} does not exist", param_hint="--report")
    folder = (data_dir or Settings().data_dir / "demo").expanduser().absolute()
    options = Options(data_dir=folder, seed=seed, leave_up=not leave, report=report)
    console = Console()
    try:
        with terminations_interrupt():
            run_demo(options, console)
    except KeyboardInterrupt:
        console.print("Stopped.")
        raise typer.Exit(INTERRUPTED) from None
