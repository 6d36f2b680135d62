"""The API: OpenAI's routes and our own, over the store. It never runs a model."""

from agentrft.server.app import create_app

__all__ = ["create_app"]
