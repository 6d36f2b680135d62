"""Pack sequences that share beginnings into a tree, so that each shared token is computed once.

Rows are sorted, so that each shares its longest prefix with the row before it and owns only what follows. Owned tokens
of a row are neighbours in the packed order. A token's log-probability comes from the last state of its parent,
wherever that is packed: the first token of a branch is predicted by the state that it branches from (rl-engine
reference, section 3a).

What all sequences of a batch begin with (system prompt, tools) is their stem: its keys and values are computed once for
all micro-batches, not once in each.

Shapes: N packed tokens of one micro-batch, its stem included.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentrft.domain.training import Datum
from agentrft.modeling.prefix import common_prefix

STEM_TOKENS = 64  # a shorter common beginning is not worth a pass of its own


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
    stem: int = 0  # the first `stem` of those are computed elsewhere

    def __len__(self) -> int:
        return len(self.ids_N)

    @property
    def fresh(self) -> int:
        """Tokens that this tree's own pass computes."""
        return len(self) - self.stem

    @property
    def nominal_tokens(self) -> int:
        """Tokens without sharing."""
        return sum(len(row.path) for row in self.rows)


def shared_stem(data: Sequence[Datum]) -> int:
    """How many first tokens of `data` can be computed once, before all the rest.

    They are common to all, none of them is trained, and one common token is left in each tree: its state predicts what
    comes next.
    """
    if len(data) < 2:
        return 0
    common = min(common_prefix(data[0].ids, datum.ids) for datum in data[1:])
    trained = min(next((at for at, weight in enumerate(datum.weights) if weight), common) for datum in data)
    stem = min(common, trained) - 1
    return stem if stem >= STEM_TOKENS else 0


def stem_tree(tree: Tree) -> Tree:
    """The stem of a tree as a tree of its own."""
    return Tree(ids_N=tree.ids_N[: tree.stem], positions_N=tree.positions_N[: tree.stem], rows=(), root=tree.stem)


def pack(data: Sequence[Datum], max_tokens: int, stem: int = 0) -> Iterator[Tree]:
    """Trees of at most `max_tokens` tokens behind the stem; a longer single sequence gets a tree of its own."""
    batch: list[Datum] = []
    count = 0
    for datum in sorted(data, key=lambda datum: datum.ids):
        fresh = len(datum.ids) - (common_prefix(batch[-1].ids, datum.ids) if batch else 0)
        if batch and count + fresh > max_tokens:
            yield _tree(batch, stem)
            batch = []
        count = count + fresh if batch else len(datum.ids) - stem
        batch.append(datum)
    if batch:
        yield _tree(batch, stem)


def _tree(data: Sequence[Datum], stem: int) -> Tree:
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
    return Tree(ids_N=tuple(ids), positions_N=tuple(positions), rows=tuple(rows), root=root, stem=stem)
