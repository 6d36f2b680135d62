"""Starting the platform's own programs (server, worker) on this machine, as anybody who installs it would."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from agentrft.demo.processes import Child, Processes, ProcessFailed, port_near
from agentrft.domain.ids import base62

KEY_FILE = "api_key"
KEY_VARIABLE = "AGENTRFT_API_KEY"
READY_DEADLINE_S = 60.0
REQUEST_DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server listens and the key that it takes."""

    url: str  # without a path
    api_key: str = field(repr=False)

    @property
    def api_url(self) -> str:
        """What the `openai` SDK calls `base_url`."""
        return f"{self.url}/v1"


def local_key(data_dir: Path) -> str:
    """The API key of the platform in `data_dir`; made on first use, readable by its owner alone."""
    path = data_dir / KEY_FILE
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f"sk-rft-{base62(32)}\n")
    return path.read_text().strip()


def start_server(processes: Processes, *, data_dir: Path, host: str = "127.0.0.1", port: int) -> Address:
    """Run `python -m agentrft.server` and wait until it answers. Raises `ProcessFailed`."""
    if port_near(port) != port:
        raise ProcessFailed(f"Something listens on port {port} already. Stop it, or choose another port.")
    reachable = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    address = Address(url=f"http://{reachable}:{port}", api_key=local_key(data_dir))
    settings = {"AGENTRFT_HOST": host, "AGENTRFT_PORT": str(port), KEY_VARIABLE: address.api_key}
    command = [sys.executable, "-m", "agentrft.server"]
    server = processes.start("server", command, {**_environment(data_dir), **settings})
    processes.wait_until(server, lambda: _accepts(address, server), deadline_s=READY_DEADLINE_S)
    return address


def start_worker(processes: Processes, *, data_dir: Path) -> Child:
    """Run `python -m agentrft.worker`, which takes jobs from the store in `data_dir`."""
    return processes.start("worker", [sys.executable, "-m", "agentrft.worker"], _environment(data_dir))


def answers(url: str) -> bool:
    """Whether a GET of `url` succeeds right now."""
    try:
        return httpx2.get(url, timeout=REQUEST_DEADLINE_S).is_success
    except httpx2.HTTPError:
        return False


def _accepts(address: Address, server: Child) -> bool:
    """Whether the server answers; it must then take our key."""
    headers = {"Authorization": f"Bearer {address.api_key}"}
    try:
        status = httpx2.get(f"{address.api_url}/models", headers=headers, timeout=REQUEST_DEADLINE_S).status_code
    except httpx2.HTTPError:
        return False
    if status == 401:
        raise ProcessFailed(f"The server at {address.url} refuses the key of its data directory. Its log: {server.log}")
    return status == 200


def _environment(data_dir: Path) -> dict[str, str]:
    # Spinning OpenMP threads cost a factor of ten as soon as one core is busy with something else.
    return {"AGENTRFT_DATA_DIR": str(data_dir), "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
