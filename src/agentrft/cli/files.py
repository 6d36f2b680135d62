"""`agentrft files`: data sets that jobs read."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from agentrft.cli.connection import connect
from agentrft.cli.output import Json, moment, write_json, write_table

app = typer.Typer(help="List, upload and delete files.", no_args_is_help=True)


@app.command("list", epilog="Example: `agentrft files list --json`")
def list_files(as_json: Json = False) -> None:
    """List files."""
    with connect() as client:
        files = list(client.files.list())
    if as_json:
        write_json(files)
        return
    rows = [[file.id, file.filename, str(file.bytes), file.purpose, moment(file.created_at)] for file in files]
    write_table(("id", "name", "bytes", "purpose", "created"), rows, empty="There are no files yet.")


@app.command(epilog="Example: `agentrft files upload train.jsonl`")
def upload(
    path: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A JSONL file.")],
    purpose: Annotated[Literal["fine-tune", "evals"], typer.Option(help="What it is for.")] = "fine-tune",
    as_json: Json = False,
) -> None:
    """Upload a file; prints its id."""
    with connect() as client, path.open("rb") as content:
        file = client.files.create(file=content, purpose=purpose)
    if as_json:
        write_json(file)
    else:
        typer.echo(file.id)


@app.command(epilog="Example: `agentrft files delete file-abc123`")
def delete(
    file_id: Annotated[str, typer.Argument(metavar="FILE", help="The id of a file, as `file-...`.")],
    as_json: Json = False,
) -> None:
    """Delete a file."""
    with connect() as client:
        deleted = client.files.delete(file_id)
    if as_json:
        write_json(deleted)
    else:
        typer.echo(f"{deleted.id} deleted")
