"""Random draws depend on the seed alone."""

from agentrft.engine.seeds import derive_seed


def test_a_seed_depends_on_every_part_and_on_their_order() -> None:
    seeds = {derive_seed(*parts) for parts in [(1, 2, 3), (3, 2, 1), (1, 23), (12, 3), (1, 2, 4), (1, 2)]}
    assert len(seeds) == 6
    assert derive_seed(1, 2, 3) == derive_seed(1, 2, 3)
    assert all(0 <= seed < 2**63 for seed in seeds)
