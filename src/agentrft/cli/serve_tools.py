"""`agentrft serve-tools`: a user's own Python functions as tools and graders over HTTP."""

import json
import secrets
import socket
from typing import Annotated, Any

import typer
import uvicorn
from rich.console import Console

from agentrft.cli.output import Json
from agentrft.cli.up import INTERRUPTED
from agentrft.toolkit import tools_schema
from agentrft.toolkit.app import create_app
from agentrft.toolkit.loading import Functions, TargetError, load_functions

TOKEN_VARIABLE = "AGENTRFT_TOOLS_TOKEN"


def serve_tools(
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", help="`path.py`, `module`, or either with `:name` of a function or a list."),
    ],
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 for a free one.")] = 9000,
    token: Annotated[
        str | None, typer.Option(envvar=TOKEN_VARIABLE, help="The bearer token to ask for; made up if not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Serve the functions of a Python file or module that are decorated with @agentrft.tool and @agentrft.grader.

    Prints what a job needs to call them, then serves until Ctrl-C. GET /tools gives the schemas for data sets' rows.

    Example: `agentrft serve-tools my_tools.py --port 9000`
    """
    try:
        functions = load_functions(target)
    except TargetError as error:
        raise typer.BadParameter(str(error), param_hint="TARGET") from None
    chosen = token or secrets.token_urlsafe(24)
    listener = _listen(host, port)
    url = f"http://{_reachable(host)}:{listener.getsockname()[1]}"
    if as_json:
        typer.echo(json.dumps(_describe(functions, url=url, token=chosen)))
    else:
        _tell(functions, url=url, new_token=None if token else chosen)
    config = uvicorn.Config(create_app(functions, token=chosen), log_level="warning", access_log=False)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _describe(functions: Functions, *, url: str, token: str) -> dict[str, Any]:
    """What of a job and of a data set's rows is known here: endpoints and schemas."""
    headers = {"Authorization": f"Bearer {token}"}
    return {
        "tools": [{"name": name, "server_url": f"{url}/{name}", "headers": headers} for name in functions.tools],
        "graders": [
            {"type": "endpoint", "name": name, "url": f"{url}/graders/{name}", "headers": headers}
            for name in functions.graders
        ],
        "schemas": tools_schema(*functions.tools.values()),
    }


def _tell(functions: Functions, *, url: str, new_token: str | None) -> None:
    lines = [f"Tool     {url}/{name}" for name in functions.tools]
    lines += [f"Grader   {url}/graders/{name}" for name in functions.graders]
    lines.append(f"Schemas  {url}/tools")
    lines.append(f"Token    {new_token}  (shown this once)" if new_token else "Token    as given")
    lines.append("Ctrl-C stops.")
    Console().print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        message = f"cannot listen on {host}, port {port}: {error.strerror}; choose another"
        raise typer.BadParameter(message, param_hint="--port") from None


def _reachable(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
