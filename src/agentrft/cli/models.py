"""`agentrft models`: what can be trained and asked here."""

import typer

from agentrft.cli.connection import connect
from agentrft.cli.output import Json, moment, write_json, write_table

app = typer.Typer(help="List models.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Base models, fine-tuned models and checkpoints."""


@app.command("list", epilog="Example: `agentrft models list --json`")
def list_models(as_json: Json = False) -> None:
    """List models: the bases, and what jobs have made of them."""
    with connect() as client:
        models = list(client.models.list())
    if as_json:
        write_json(models)
        return
    rows = [[model.id, model.owned_by, moment(model.created)] for model in models]
    write_table(("id", "owner", "created"), rows, empty="There are no models yet.")
