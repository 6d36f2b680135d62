import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrft.datasets import ItemOrder
from agentrft.domain.episode import Item, Message


def items(count: int) -> list[Item]:
    return [Item(index=index, messages=(Message(role="user", content="Q?"),)) for index in range(count)]


def draw(order: ItemOrder[Item], n: int) -> list[int]:
    return [item.index for item in order.next(n)]


def test_an_epoch_holds_every_item_once_in_mixed_order() -> None:
    order = ItemOrder(items(20), seed=1)
    first, second = draw(order, 20), draw(order, 20)
    assert sorted(first) == sorted(second) == list(range(20))
    assert len({tuple(first), tuple(second), tuple(range(20))}) == 3


def test_the_seed_decides_the_order() -> None:
    assert draw(ItemOrder(items(20), seed=1), 50) == draw(ItemOrder(items(20), seed=1), 50)
    assert draw(ItemOrder(items(20), seed=1), 20) != draw(ItemOrder(items(20), seed=2), 20)


def test_the_epoch_is_that_of_the_next_item() -> None:
    order = ItemOrder(items(4), seed=1)
    epochs = [order.epoch]
    for _ in range(4):
        order.next(2)
        epochs.append(order.epoch)
    assert epochs == [0, 0, 1, 1, 2]


@given(count=st.integers(1, 12), sizes=st.lists(st.integers(0, 12), max_size=12), seed=st.integers(0, 5))
def test_no_batch_and_no_epoch_holds_an_item_twice(count: int, sizes: list[int], seed: int) -> None:
    order, drawn = ItemOrder(items(count), seed=seed), []
    for size in sizes:
        batch = draw(order, size)
        assert len(batch) == size
        if size <= count:
            assert len(set(batch)) == size
        drawn += batch
    for start in range(0, len(drawn), count):
        assert max(Counter(drawn[start : start + count]).values()) == 1


@given(count=st.integers(1, 12), before=st.lists(st.integers(1, 7), max_size=8), seed=st.integers(0, 5))
def test_an_order_goes_on_from_its_state(count: int, before: list[int], seed: int) -> None:
    order = ItemOrder(items(count), seed=seed)
    for size in before:
        order.next(size)
    resumed = ItemOrder(items(count), seed=seed, state=json.loads(json.dumps(order.state)))
    assert [draw(order, 5) for _ in range(6)] == [draw(resumed, 5) for _ in range(6)]


def test_an_order_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one item"):
        ItemOrder([], seed=0)
