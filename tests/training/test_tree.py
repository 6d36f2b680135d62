from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from agentrft.domain.training import Datum
from agentrft.training.tree import STEM_TOKENS, pack, shared_stem

SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9).map(tuple), min_size=1, max_size=9)


def a_datum(ids: tuple[int, ...]) -> Datum:
    return Datum(ids=ids, weights=(1.0,) * len(ids))


@settings(max_examples=80, deadline=None)
@given(sequences=SEQUENCES, budget=st.integers(1, 40))
def test_every_sequence_can_be_read_back_from_its_path(sequences: list[tuple[int, ...]], budget: int) -> None:
    trees = list(pack([a_datum(ids) for ids in sequences], budget))
    packed = [row for tree in trees for row in tree.rows]
    assert sorted(row.datum.ids for row in packed) == sorted(sequences)
    for tree in trees:
        assert len(tree) <= budget or len(tree.rows) == 1
        assert tree.nominal_tokens == sum(len(row.datum.ids) for row in tree.rows)
        for row in tree.rows:
            assert tuple(tree.ids_N[place] for place in row.path) == row.datum.ids
            assert [tree.positions_N[place] for place in row.path] == list(range(len(row.path)))
            owned = row.path[row.owned :]
            assert list(owned) == list(range(owned[0], owned[0] + len(owned))) if owned else True
            assert row.path[: tree.root] == tuple(range(tree.root))


@settings(max_examples=40, deadline=None)
@given(sequences=SEQUENCES)
def test_in_one_tree_every_distinct_beginning_is_computed_once(sequences: list[tuple[int, ...]]) -> None:
    (tree,) = pack([a_datum(ids) for ids in sequences], 10_000)
    assert len(tree) == len({ids[:end] for ids in sequences for end in range(1, len(ids) + 1)})
    common = 0
    while all(len(ids) > common and ids[common] == sequences[0][common] for ids in sequences):
        common += 1
    assert tree.root == common


def test_the_stem_ends_before_the_first_trained_token_and_leaves_one_common_token() -> None:
    common = tuple(range(STEM_TOKENS + 10))
    untrained = [Datum(ids=(*common, last), weights=(0.0,) * len(common) + (1.0,)) for last in (1, 2, 3)]
    assert shared_stem(untrained) == len(common) - 1
    early = replace(untrained[2], weights=(0.0,) * (STEM_TOKENS + 3) + (1.0,) * 8)
    assert shared_stem([*untrained[:2], early]) == STEM_TOKENS + 2
    assert shared_stem(untrained[:1]) == 0
    assert shared_stem([*untrained, a_datum((7, 8))]) == 0
    assert all(tree.fresh == 3 and tree.stem == len(common) - 1 for tree in pack(untrained[:2], 3, len(common) - 1))


def test_nothing_packs_to_nothing() -> None:
    assert list(pack([], 10)) == []
