from typing import Any

from agentrft.store import Store


async def test_only_live_workers_that_serve_are_asked(store: Store, clock: Any) -> None:
    await store.workers.register(device="cpu")
    serving = await store.workers.register(device="cuda:0", url="http://127.0.0.1:9/", token="tok-secret")
    found = await store.workers.serving()
    assert [(worker.id, worker.url, worker.token) for worker in found] == [
        (serving, "http://127.0.0.1:9", "tok-secret")
    ]
    assert "tok-secret" not in repr(found)
    clock.now += 31
    assert await store.workers.serving() == []
    assert await store.workers.heartbeat(serving)
    assert len(await store.workers.serving()) == 1
    await store.workers.remove(serving)
    assert not await store.workers.heartbeat(serving)
