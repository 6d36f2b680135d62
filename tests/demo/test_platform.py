import socket
import stat
from pathlib import Path

import pytest

from agentrft.demo.platform import KEY_FILE, Address, answers, local_key, start_server
from agentrft.demo.processes import Processes, ProcessFailed, free_port


def test_the_key_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    key = local_key(data_dir)
    assert key.startswith("sk-")
    assert len(key) > 30
    assert local_key(data_dir) == key
    assert stat.S_IMODE((data_dir / KEY_FILE).stat().st_mode) == 0o600


def test_an_address_does_not_show_its_key() -> None:
    address = Address(url="http://127.0.0.1:1", api_key="sk-secret")
    assert "sk-secret" not in repr(address)
    assert address.api_url == "http://127.0.0.1:1/v1"


def test_nobody_answers_at_a_free_port() -> None:
    assert not answers(f"http://127.0.0.1:{free_port()}/health")


def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, Processes(log_folder=tmp_path / "logs") as processes:
        port = listener.getsockname()[1]
        with pytest.raises(ProcessFailed, match=f"port {port}"):
            start_server(processes, data_dir=tmp_path, port=port)
    assert list((tmp_path / "logs").iterdir()) == []
