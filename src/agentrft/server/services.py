"""What routes work with, and how they get it."""

from dataclasses import dataclass
from typing import Annotated

import httpx2
from fastapi import Depends, Request

from agentrft.store import Settings, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    settings: Settings
    store: Store
    client: httpx2.AsyncClient  # to workers


def get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Served = Annotated[Services, Depends(get_services)]
