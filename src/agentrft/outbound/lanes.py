"""HTTP clients side by side, so that a request in a burst of hundreds costs no more than a single one.

A connection pool looks through all of its connections twice for every request. With 500 requests at once on one
pool that was half of the CPU time of the whole call (benchmarks/burst.py); so a pool here holds few connections, and
there are many pools.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

LANE_REQUESTS = 16  # under way at once, in one lane
MAX_LANES = 64  # beyond 1024 requests they queue in their lanes
CONNECT_TIMEOUT_S = 10.0
_LOOPBACK = ("all://localhost", "all://127.0.0.1", "all://[::1]")  # never sent through a proxy of the environment


class Lanes:
    """Gives each request a client. Lanes are filled one after the other, so that few requests share few connections."""

    def __init__(self) -> None:
        self._lanes: list[_Lane] = []

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx2.AsyncClient]:
        """A client for one request. It follows no redirect, keeps no cookie, and bounds only the time to connect."""
        lane = self._choose()
        lane.requests += 1
        try:
            yield lane.client
        finally:
            lane.requests -= 1

    async def close(self) -> None:
        while self._lanes:
            await self._lanes.pop().client.aclose()

    def _choose(self) -> "_Lane":
        for lane in self._lanes:
            if lane.requests < LANE_REQUESTS:
                return lane
        if len(self._lanes) == MAX_LANES:
            return min(self._lanes, key=lambda lane: lane.requests)
        self._lanes.append(_Lane())
        return self._lanes[-1]


class _Lane:
    def __init__(self) -> None:
        self.requests = 0
        self.client = httpx2.AsyncClient(
            verify=_trust(),
            follow_redirects=False,
            limits=httpx2.Limits(
                max_connections=LANE_REQUESTS, max_keepalive_connections=LANE_REQUESTS, keepalive_expiry=30.0
            ),
            timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT_S),
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            mounts=dict.fromkeys(_LOOPBACK),
        )


@cache
def _trust() -> ssl.SSLContext:
    """The certificates to trust: reading them takes tens of milliseconds, too long for every single call."""
    return httpx2.create_ssl_context()
