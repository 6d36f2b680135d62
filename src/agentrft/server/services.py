"""What routes work with, and how they get it."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

import httpx2
from fastapi import Depends, Request

from agentrft.store import Settings, Store

MAX_SANDBOXES = 8  # python gradings at once: each gets a process of its own; more wait for their turn
MAX_TOOL_CALLS = 256  # at once, on behalf of clients


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    settings: Settings
    store: Store
    client: httpx2.AsyncClient  # to workers
    sandboxes: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_SANDBOXES))
    tool_calls: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_TOOL_CALLS))


def get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Served = Annotated[Services, Depends(get_services)]
