"""The `agentrft` command. It starts programs and talks to a server over HTTP; it never runs a model itself."""

from agentrft.cli.app import main

__all__ = ["main"]
