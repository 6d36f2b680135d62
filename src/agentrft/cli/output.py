"""The two forms in which every command answers: a table for people, JSON for programs."""

import json
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from openai import BaseModel
from rich.console import Console
from rich.table import Table

Json = Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")]


def write_json(value: object) -> None:
    """SDK objects with all that the server sent, also what the SDK does not know."""
    typer.echo(json.dumps(_plain(value), indent=2))


def write_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """A table, or `empty` where there are no rows."""
    console = Console()
    if not rows:
        console.print(empty, highlight=False)
        return
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table, markup=False, highlight=False)


def write_fields(fields: Sequence[tuple[str, str]]) -> None:
    """One thing, a line for each of its fields; fields without a value are left out."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in fields:
        if value:
            table.add_row(name, value)
    Console().print(table, markup=False, highlight=False)


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def moment(unix_seconds: int | None) -> str:
    """Local date and time; empty when there is none."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_seconds)) if unix_seconds else ""


def _plain(value: object) -> Any:
    if isinstance(value, BaseModel):
        return value.to_dict(mode="json")
    return [_plain(element) for element in value] if isinstance(value, list) else value
