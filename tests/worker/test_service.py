import logging

from agentrft.worker.service import tell_isolation


async def test_a_worker_says_at_start_up_what_holds_for_python_graders(caplog) -> None:
    caplog.set_level(logging.INFO)
    await tell_isolation()
    for guard in ("network", "files", "processes", "signals", "memory", "disk", "kernel"):
        assert f"python graders: {guard}" in caplog.text


async def test_a_worker_that_cannot_run_python_graders_says_so_and_goes_on(caplog, monkeypatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    await tell_isolation()
    assert "python graders cannot run here" in caplog.text
