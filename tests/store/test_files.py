import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agentrft.domain.errors import UserError
from agentrft.store import Store
from agentrft.store.keys import DEFAULT_PROJECT


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def broken() -> AsyncIterator[bytes]:
    yield b"half of "
    raise ConnectionResetError("gone")


async def put(store: Store, *parts: bytes, expires_after_s: int | None = None, purpose: str = "fine-tune") -> str:
    draft = await store.files.receive(chunks(*parts))
    file = await store.files.adopt(
        draft, project_id=DEFAULT_PROJECT, filename="a.jsonl", purpose=purpose, expires_after_s=expires_after_s
    )
    return file.id


async def test_a_file_is_kept_byte_for_byte_and_found_by_its_project_alone(store: Store) -> None:
    file_id = await put(store, b"ab", b"cd")
    file = await store.files.find(DEFAULT_PROJECT, file_id)
    assert file is not None
    assert (file.bytes, file.status, file_id[:5]) == (4, "processed", "file-")
    assert store.files.path(file_id).read_bytes() == b"abcd"
    assert await store.files.find("proj_other", file_id) is None


async def test_an_upload_that_breaks_off_leaves_nothing(store: Store) -> None:
    with pytest.raises(ConnectionResetError):
        await store.files.receive(broken())
    left = [path for name in ("files", "uploads") for path in (store.settings.data_dir / name).iterdir()]
    assert left == []


async def test_uploads_of_a_killed_process_are_swept_a_day_later(store: Store) -> None:
    draft = await store.files.receive(chunks(b"x"))
    now = store.files._database.now()
    os.utime(draft, (now, now))
    assert store.files.sweep() == 0
    os.utime(draft, (now - 90_000, now - 90_000))
    assert store.files.sweep() == 1
    assert not draft.exists()


async def test_pages_follow_the_cursor_newest_first(store: Store) -> None:
    ids = [await put(store, b"x") for _ in range(3)]
    first = await store.files.page(DEFAULT_PROJECT, purpose=None, after=None, limit=2, order="desc")
    assert ([file.id for file in first.data], first.has_more) == ([ids[2], ids[1]], True)
    second = await store.files.page(DEFAULT_PROJECT, purpose="fine-tune", after=ids[1], limit=2, order="desc")
    assert ([file.id for file in second.data], second.has_more) == ([ids[0]], False)
    upward = await store.files.page(DEFAULT_PROJECT, purpose=None, after=None, limit=9, order="asc")
    assert [file.id for file in upward.data] == ids
    with pytest.raises(UserError, match="No such object"):
        await store.files.page(DEFAULT_PROJECT, purpose=None, after="file-none", limit=2, order="desc")


async def test_an_expired_file_is_gone(store: Store, clock: Any) -> None:
    file_id = await put(store, b"x", expires_after_s=3600)
    assert await store.files.find(DEFAULT_PROJECT, file_id)
    clock.now += 3601
    assert await store.files.find(DEFAULT_PROJECT, file_id) is None


async def test_a_job_keeps_its_copy_of_a_file_that_is_deleted(store: Store) -> None:
    file_id = await put(store, b"row")
    copy = await store.files.snapshot("ftjob-1", file_id, role="training")
    assert await store.files.delete(DEFAULT_PROJECT, file_id)
    assert not await store.files.delete(DEFAULT_PROJECT, file_id)
    assert copy.read_bytes() == b"row"
    assert not store.files.path(file_id).exists()
