"""Pack sequences that share beginnings into a tree, so that each shared token is computed once.

Rows are sorted, so that each shares its longest prefix with the row before it and owns only what follows. Owned tokens
of a row are neighbours in the packed order. A token's log-probability comes from the last state of its parent,
wherever that is packed: the first token of a branch is predicted by the state that it branches from (rl-engine
reference, section 3a).

Shapes: N packed tokens of one micro-batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentrft.domain.training import Datum
from agentrft.modeling.prefix import common_prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One sequence in a packed micro-batch."""

    datum: Datum
    path: tuple[int, ...]  # packed index of each of its tokens
    owned: int  # position of the first token that it brought


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One micro-batch."""

    ids_N: tuple[int, ...]
    positions_N: tuple[int, ...]
    rows: tuple[Row, ...]
    root: int  # the first `root` packed tokens are common to all rows

    def __len__(self) -> int:
        return len(self.ids_N)

    @property
    def nominal_tokens(self) -> int:
        """Tokens without sharing."""
        return sum(len(row.path) for row in self.rows)


def pack(data: Sequence[Datum], max_tokens: int) -> Iterator[Tree]:
    """Trees of at most `max_tokens` tokens each; a longer single sequence gets a tree of its own."""
    batch: list[Datum] = []
    count = 0
    for datum in sorted(data, key=lambda datum: datum.ids):
        fresh = len(datum.ids) - (common_prefix(batch[-1].ids, datum.ids) if batch else 0)
        if batch and count + fresh > max_tokens:
            yield _tree(batch)
            batch, fresh, count = [], len(datum.ids), 0
        batch.append(datum)
        count += fresh
    if batch:
        yield _tree(batch)


def _tree(data: Sequence[Datum]) -> Tree:
    ids: list[int] = []
    positions: list[int] = []
    rows: list[Row] = []
    root = len(data[0].ids)
    for datum in data:
        shared = common_prefix(rows[-1].datum.ids, datum.ids) if rows else 0
        start = len(ids)
        ids += datum.ids[shared:]
        positions += range(shared, len(datum.ids))
        before = rows[-1].path[:shared] if rows else ()
        rows.append(Row(datum=datum, path=before + tuple(range(start, len(ids))), owned=shared))
        root = min(root, shared) if len(rows) > 1 else root
    return Tree(ids_N=tuple(ids), positions_N=tuple(positions), rows=tuple(rows), root=root)
