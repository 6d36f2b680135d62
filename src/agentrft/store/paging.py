"""Cursor pages over a table with a `seq` column, as OpenAI's lists are paged."""

from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from agentrft.domain.errors import UserError
from agentrft.store.rows import Page, Row, read_row

Order = Literal["asc", "desc"]


async def fetch_page(
    connection: AsyncConnection,
    query: sa.Select[Any],
    kind: type[Row],
    *,
    table: sa.Table,
    after: str | None,
    limit: int,
    order: Order = "desc",
) -> Page[Row]:
    """At most `limit` rows that come after the row with the id `after`.

    Raises:
        UserError: `query` has no row with the id `after`.
    """
    seq = table.c.seq
    if after is not None:
        start = await _find_start(connection, query, table, after)
        query = query.where(seq > start if order == "asc" else seq < start)
    query = query.order_by(seq.asc() if order == "asc" else seq.desc()).limit(limit + 1)
    rows = (await connection.execute(query)).mappings().all()
    return Page(data=[read_row(kind, row) for row in rows[:limit]], has_more=len(rows) > limit)


async def _find_start(connection: AsyncConnection, query: sa.Select[Any], table: sa.Table, after: str) -> int:
    start = await connection.scalar(query.with_only_columns(table.c.seq).where(table.c.id == after))
    if start is None:
        raise UserError(f"No such object to list after: {after}", param="after", code="invalid_value")
    return int(start)
