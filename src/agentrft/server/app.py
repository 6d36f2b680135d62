"""Putting the server together: store, routes, borders."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
from fastapi import FastAPI

from agentrft.server import health, prometheus
from agentrft.server.errors import add_error_handlers
from agentrft.server.middleware import Border
from agentrft.server.native import grading, pages
from agentrft.server.native import jobs as native_jobs
from agentrft.server.services import Services
from agentrft.server.v1 import alpha, chat_completions, files, fine_tuning, models, responses
from agentrft.store import Settings, open_store

CONNECT_TIMEOUT_S = 5.0
MAX_FORWARDED = 1000  # completions under way at once; more wait for their turn


def _client(timeout: httpx2.Timeout) -> httpx2.AsyncClient:
    limits = httpx2.Limits(max_connections=MAX_FORWARDED)
    return httpx2.AsyncClient(timeout=timeout, limits=limits, trust_env=False)


def print_key(key: str) -> None:
    """To the terminal and not to a log: it is shown once."""
    print(f"Your API key, shown this once: {key}", flush=True)


def create_app(settings: Settings, *, show_key: Callable[[str], None] = print_key) -> FastAPI:
    """The server of one installation.

    Args:
        show_key: called with the first API key when this start made it.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        timeout = httpx2.Timeout(settings.generate_timeout_s, connect=CONNECT_TIMEOUT_S)
        async with open_store(settings) as store, _client(timeout) as client:
            preset = settings.api_key.get_secret_value() if settings.api_key else None
            first_key = await store.keys.bootstrap(preset)
            await store.keys.accept(store.judges.own_key)
            await asyncio.to_thread(store.judges.announce, settings.host, settings.port)
            await asyncio.to_thread(store.files.sweep)
            await store.jobs.enqueue_left_over()
            app.state.services = Services(settings=settings, store=store, client=client)
            if first_key is not None:
                show_key(first_key)
            yield

    app = FastAPI(title="agentrft", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Border, organization=settings.organization)
    add_error_handlers(app)
    for part in (files, fine_tuning, alpha, models, responses, chat_completions):
        app.include_router(part.router, prefix="/v1")
    for own in (native_jobs, grading, pages, health, prometheus):
        app.include_router(own.router)
    pages.mount_static(app)
    return app
