"""`agentrft up`: the whole platform on this machine, until Ctrl-C."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agentrft.cli.output import Json
from agentrft.demo.lock import exclusive
from agentrft.demo.platform import Address, start_server, start_worker
from agentrft.demo.processes import Processes, terminations_interrupt
from agentrft.store.settings import Settings

INTERRUPTED = 130
POLL_S = 1.0

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", file_okay=False, help="Where jobs, files and weights are kept.")
]


def up(
    data_dir: DataDir = None,
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8000,
    as_json: Json = False,
) -> None:
    """Start the server and one worker here, and print the address and the API key.

    Example: `agentrft up --port 8080`
    """
    folder = (data_dir or Settings().data_dir).expanduser().absolute()
    try:
        with (
            terminations_interrupt(),
            exclusive(folder),
            Processes(log_folder=folder / "logs") as processes,
        ):
            address = start_server(processes, data_dir=folder, host=host, port=port)
            start_worker(processes, data_dir=folder)
            _tell(address, folder, as_json=as_json)
            while True:
                processes.check()
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _tell(address: Address, folder: Path, *, as_json: bool) -> None:
    if as_json:
        told = {"url": address.url, "api_url": address.api_url, "api_key": address.api_key, "data_dir": str(folder)}
        typer.echo(json.dumps(told))
        return
    Console().print(
        f"Dashboard  {address.url}\n"
        f"API        export OPENAI_BASE_URL={address.api_url} OPENAI_API_KEY={address.api_key}\n"
        f"Logs       {folder / 'logs'}\n"
        "Ctrl-C stops everything.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
