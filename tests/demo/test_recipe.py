import pytest

from agentrft.demo.recipe import Recipe


def test_epochs_cover_all_steps() -> None:
    assert Recipe(training_questions=40, batch_size=4, total_steps=10).reinforcement_epochs == 1
    assert Recipe(training_questions=40, batch_size=4, total_steps=11).reinforcement_epochs == 2


def test_the_demo_keeps_to_its_promise_of_64_episodes_a_step_and_100_held_out_questions() -> None:
    recipe = Recipe()
    assert recipe.batch_size * recipe.group_size == 64
    assert recipe.held_out_questions >= 100
    assert recipe.total_steps <= 20


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Recipe(eval_interval=0)
