import random
from math import isfinite
from pathlib import Path

import pytest
import torch
import transformers

from agentrft.domain.episode import FinishReason
from agentrft.modeling.weights import load_weights
from agentrft.sampling.model import SamplerModel, build_model
from agentrft.sampling.shard import PREFILL_TOKENS, ROOT_TOKENS, Shard
from tests.modeling.tiny import FAMILIES, some_ids, write_model
from tests.sampling.driving import TOLERANCE, Driver, check

Theirs = transformers.PreTrainedModel


@pytest.fixture
def driver(model: SamplerModel) -> Driver:
    return Driver(Shard(model, slots=6))


@pytest.mark.parametrize("family", FAMILIES)
def test_an_episode_of_several_turns_has_transformers_log_probabilities(tmp_path: Path, family: str) -> None:
    theirs = write_model(tmp_path, family)
    driver = Driver(Shard(build_model(load_weights(tmp_path, torch.float32), None, 1), slots=3))
    history = {name: some_ids(20 + 7 * seed, seed=seed) for seed, name in enumerate("abc")}
    for number in range(3):
        turns = {name: driver.ask(name, ids, seed=number) for name, ids in history.items()}
        driver.run()
        for name, turn in turns.items():
            check(theirs, turn)
            tool = some_ids(1 + 13 * number, seed=ord(name) + number)
            history[name] = [*turn.history, *tool]


def test_attempts_that_share_a_prompt_share_a_root(driver: Driver, theirs: Theirs) -> None:
    system = some_ids(ROOT_TOKENS + 9)
    prompts = [[*system, *some_ids(30, seed=item)] for item in (1, 2)]
    turns = [driver.ask(f"{item}-{attempt}", prompts[item], seed=attempt) for item in (0, 1) for attempt in range(3)]
    driver.run(steps=1)
    assert driver.shard.cache.root is not None
    assert driver.shard.cache.root.ids == tuple(system)
    driver.run()
    for turn in turns:
        check(theirs, turn)
    assert len({turn.done.ids for turn in turns}) == 6
    again = [driver.ask(turn.request.session, [*turn.history, *some_ids(9)]) for turn in turns]
    driver.run()
    for turn in again:
        check(theirs, turn)


@pytest.mark.parametrize("length", [ROOT_TOKENS - 4, ROOT_TOKENS + 8, ROOT_TOKENS + 9, ROOT_TOKENS + 10])
def test_a_prompt_may_end_before_at_or_behind_the_root(driver: Driver, theirs: Theirs, length: int) -> None:
    system = some_ids(ROOT_TOKENS + 9)
    first = [driver.ask(name, [*system, *some_ids(4, seed=seed)]) for seed, name in enumerate("ab")]
    driver.run()
    late = driver.ask("c", [*system, 3, 4][:length])
    driver.run()
    for turn in [*first, late]:
        check(theirs, turn)


def test_identical_prompts_are_computed_once(driver: Driver, theirs: Theirs) -> None:
    prompt = some_ids(50)
    turns = [driver.ask(f"attempt {n}", prompt, seed=n) for n in range(4)]
    driver.run(steps=1)
    assert driver.shard.cache.root is not None
    assert len(driver.shard.cache.root.ids) == 49
    driver.run()
    for turn in turns:
        check(theirs, turn)


def test_a_session_that_does_not_stand_on_the_root_is_right_too(driver: Driver, theirs: Theirs) -> None:
    rooted = [driver.ask(name, [*some_ids(40), seed]) for seed, name in enumerate("ab")]
    driver.run(steps=2)
    stranger = driver.ask("stranger", some_ids(45, seed=8))
    twin = driver.ask("twin", [*some_ids(45, seed=8)[:30], 5, 6])
    driver.run()
    for turn in [*rooted, stranger, twin]:
        check(theirs, turn)


def test_sessions_enter_as_others_leave(model: SamplerModel, theirs: Theirs) -> None:
    driver = Driver(Shard(model, slots=2))
    turns = [driver.ask(f"session {n}", some_ids(9 + n, seed=n), max_tokens=3 + n, seed=n) for n in range(6)]
    released: set[str] = set()
    for _ in range(200):
        driver.run(steps=1)
        for turn in turns:
            if turn.completion is not None and turn.request.session not in released:
                released.add(turn.request.session)
                driver.shard.release(turn.request.session)
    for turn in turns:
        check(theirs, turn)
    assert not driver.shard.busy
    assert driver.shard.cache.capacity == 0


def test_a_session_keeps_its_slot_between_its_turns(model: SamplerModel) -> None:
    driver = Driver(Shard(model, slots=1))
    first = driver.ask("a", some_ids(5))
    driver.run()
    waiting = driver.ask("b", some_ids(6))
    driver.run(steps=5)
    assert waiting.completion is None
    second = driver.ask("a", [*first.history, 1, 2])
    driver.run(steps=20)
    assert second.completion is not None
    driver.shard.release("a")
    driver.run()
    assert waiting.completion is not None


def test_a_cancelled_turn_delivers_nothing_and_harms_nobody(driver: Driver, theirs: Theirs) -> None:
    prompt = some_ids(40)
    turns = [driver.ask(name, prompt, seed=seed) for seed, name in enumerate("abc")]
    driver.run(steps=3)
    driver.shard.cancel(turns[1].draft)
    driver.run()
    assert turns[1].completion is None
    check(theirs, turns[0])
    check(theirs, turns[2])
    again = driver.ask("b", [*prompt, 7, 8, 9])
    driver.run()
    check(theirs, again)


def test_a_turn_that_waits_in_the_queue_can_be_cancelled(model: SamplerModel) -> None:
    driver = Driver(Shard(model, slots=1))
    first, waiting = driver.ask("a", some_ids(5)), driver.ask("b", some_ids(5))
    driver.run(steps=1)
    driver.shard.cancel(waiting.draft)
    driver.shard.release("b")
    driver.run()
    driver.shard.release("a")
    assert first.completion is not None
    assert waiting.completion is None
    assert not driver.shard.busy


def test_each_token_carries_the_version_it_was_sampled_with(
    driver: Driver, theirs: Theirs, other: tuple[Theirs, SamplerModel]
) -> None:
    prompt = some_ids(60)
    old = [driver.ask(name, prompt, max_tokens=6, seed=seed) for seed, name in enumerate("ab")]
    driver.run(steps=3)
    driver.shard.load(other[1])
    fresh = [driver.ask(name, prompt, seed=seed) for seed, name in enumerate("cd")]
    driver.run()
    for turn in old:
        before = turn.done.versions.count(1)
        assert turn.done.versions == (1,) * before + (2,) * (6 - before)
        assert 0 < before < 6
    for turn in fresh:
        assert set(turn.done.versions) == {2}
        check(other[0], turn)  # nothing that the old weights computed was taken over
    next_step = [driver.ask(name, prompt, seed=seed) for seed, name in enumerate("ef")]
    driver.run()
    for turn in next_step:
        check(other[0], turn)


def test_after_all_sessions_have_left_a_new_root_is_made_with_the_new_weights(
    driver: Driver, other: tuple[Theirs, SamplerModel]
) -> None:
    prompt = some_ids(60)
    for name in "ab":
        driver.ask(name, prompt)
    driver.run()
    for name in "ab":
        driver.shard.release(name)
    driver.shard.load(other[1])
    turns = [driver.ask(name, prompt, seed=seed) for seed, name in enumerate("ab")]
    driver.run()
    for turn in turns:
        check(other[0], turn)


def test_a_seed_gives_the_same_completion_whatever_else_is_sampled(model: SamplerModel) -> None:
    prompt = some_ids(40)
    alone = Driver(Shard(model, slots=1))
    expected = alone.ask("a", prompt, seed=3, max_tokens=12)
    alone.run()
    crowd = Driver(Shard(model, slots=6))
    crowd.ask("x", some_ids(70, seed=5), max_tokens=30)
    crowd.run(steps=4)
    turns = [crowd.ask(f"n{seed}", prompt, seed=seed, max_tokens=12) for seed in range(5)]
    crowd.run()
    assert turns[3].done.ids == expected.done.ids
    assert len({turn.done.ids for turn in turns}) == 5


def test_temperature_zero_takes_the_likeliest_token(driver: Driver, theirs: Theirs) -> None:
    turns = [driver.ask(name, some_ids(12), temperature=0.0, seed=seed) for seed, name in enumerate("ab")]
    hot = driver.ask("hot", some_ids(12))
    driver.run()
    assert turns[0].done.ids == turns[1].done.ids
    with torch.no_grad():
        logits = theirs(torch.tensor([turns[0].history])).logits[0, 11:-1]
    assert turns[0].done.ids == tuple(logits.argmax(-1).tolist())
    check(theirs, turns[0])
    check(theirs, hot)


@pytest.mark.parametrize(("temperature", "top_p"), [(0.5, 1.0), (1.0, 0.4), (1.7, 0.7)])
def test_log_probabilities_are_those_of_the_distribution_that_was_drawn_from(
    driver: Driver, theirs: Theirs, temperature: float, top_p: float
) -> None:
    turn = driver.ask("a", some_ids(12), temperature=temperature, top_p=top_p, max_tokens=20)
    plain = driver.ask("b", some_ids(12), max_tokens=20)
    driver.run()
    with torch.no_grad():
        logits = theirs(torch.tensor([turn.history])).logits[0, 11:-1] / temperature
    for row, token, logp in zip(logits, turn.done.ids, turn.done.logps, strict=True):
        mass, order = row.softmax(0).sort(descending=True)
        kept = order[mass.cumsum(0) - mass < top_p]
        assert token in kept
        assert abs(float(row[token] - row[kept].logsumexp(0)) - logp) < TOLERANCE
    check(theirs, plain)


class HighestNumber(random.Random):
    def random(self) -> float:
        return 1 - 2**-53


def test_the_largest_random_number_still_draws_a_token_that_is_allowed(driver: Driver) -> None:
    turn = driver.ask("a", some_ids(12), top_p=0.3)
    turn.draft.source = HighestNumber()
    driver.run()
    assert all(isfinite(logp) for logp in turn.done.logps)


def test_a_turn_ends_with_a_stop_token_or_at_its_limit(driver: Driver) -> None:
    free = driver.ask("a", some_ids(12), seed=4, max_tokens=9)
    driver.run()
    assert (free.done.finish, len(free.done.ids)) == (FinishReason.LENGTH, 9)
    stop = free.done.ids[5]
    first = free.done.ids.index(stop) + 1
    stopped = driver.ask("b", some_ids(12), seed=4, max_tokens=9, stop=[stop])
    driver.run()
    assert (stopped.done.finish, stopped.done.ids) == (FinishReason.STOP, free.done.ids[:first])


def test_a_history_that_was_rewritten_is_read_anew(driver: Driver, theirs: Theirs) -> None:
    system = some_ids(40)
    turns = [driver.ask(name, [*system, *some_ids(20, seed=seed)]) for seed, name in enumerate("ab")]
    driver.run()
    middle, start = [*turns[0].history, 1], [*turns[1].history, 1]
    middle[50], start[3] = 7, 7  # behind the root, and inside it
    shorter = driver.ask("a", middle), driver.ask("b", start)
    driver.run()
    for turn in shorter:
        check(theirs, turn)
    same = driver.ask("a", middle[:45]), driver.ask("b", start)
    driver.run()
    for turn in same:
        check(theirs, turn)


def test_long_prompts_are_read_in_pieces_while_others_go_on(driver: Driver, theirs: Theirs) -> None:
    quick = driver.ask("quick", some_ids(10), max_tokens=8)
    driver.run(steps=1)
    prompt = some_ids(PREFILL_TOKENS + 90, seed=1)
    long = driver.ask("long", prompt, max_tokens=3)
    driver.run(steps=1)
    shares = driver.ask("shares", [*prompt[: PREFILL_TOKENS + 50], 3, 4], max_tokens=3)
    assert len(quick.draft.ids) == 2
    assert not long.draft.ids
    driver.run()
    for turn in (quick, long, shares):
        check(theirs, turn)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_the_order_of_events_the_log_probabilities_are_right(
    model: SamplerModel, theirs: Theirs, seed: int
) -> None:
    """Sessions of a few items that come, talk, are cancelled and go at random."""
    dice = random.Random(seed)
    driver = Driver(Shard(model, slots=4))
    system = some_ids(35, seed=seed)
    items = [[*system, *some_ids(dice.randint(1, 30), seed=n)] for n in range(3)] + [some_ids(33, seed=77)]
    live = {f"s{n}": driver.ask(f"s{n}", dice.choice(items), seed=n) for n in range(7)}
    finished, count = [], 7
    for _ in range(90):
        driver.run(steps=dice.randint(1, 3))
        for name, turn in list(live.items()):
            if turn.completion is None:
                if dice.random() < 0.02:
                    driver.shard.cancel(turn.draft)
                    driver.shard.release(name)
                    del live[name]
                continue
            finished.append(turn)
            if dice.random() < 0.6:
                tool = some_ids(dice.choice([1, 2, 9, 25]), seed=count)
                live[name] = driver.ask(name, [*turn.history, *tool], seed=count, max_tokens=dice.randint(1, 9))
            else:
                driver.shard.release(name)
                del live[name]
                count += 1
                live[f"s{count}"] = driver.ask(f"s{count}", dice.choice(items), seed=count)
    assert len(finished) > 20
    for turn in finished:
        check(theirs, turn)


def test_a_turn_ends_with_a_stop_sequence(driver: Driver) -> None:
    whole = driver.ask("whole", some_ids(9), max_tokens=12, seed=5)
    driver.run()
    pair = whole.done.ids[4:6]
    cut = driver.ask("cut", some_ids(9), max_tokens=12, seed=5, stop_sequences=[pair, (10**6,)])
    driver.run()
    assert cut.done.finish is FinishReason.STOP
    assert cut.done.ids == whole.done.ids[: 1 + next(i for i in range(1, 12) if whole.done.ids[i - 1 : i + 1] == pair)]


def test_a_deadline_delivers_what_was_sampled_and_frees_the_place(model: SamplerModel) -> None:
    driver = Driver(Shard(model, slots=1))
    live = driver.ask("live", some_ids(9), max_tokens=1000, deadline_s=0.0)
    waiting = driver.ask("waiting", some_ids(7), max_tokens=1000, deadline_s=0.0)
    assert live.draft is not None
    driver.shard.step()
    assert (live.done.finish, live.done.ids) == (FinishReason.DEADLINE, ())
    assert waiting.done.finish is FinishReason.DEADLINE
    again = driver.ask("again", some_ids(9), max_tokens=1000, deadline_s=1000.0)
    driver.run(steps=5)
    assert again.draft is not None
    again.draft.begun -= 1000.0
    driver.run()
    assert again.done.finish is FinishReason.DEADLINE
    assert len(again.done.ids) == 5


def test_prompts_that_fill_a_step_by_themselves_stand_on_a_root(driver: Driver, theirs: Theirs) -> None:
    """Nobody samples in the first steps."""
    system = some_ids(ROOT_TOKENS + 9)
    turns = [driver.ask(str(n), [*system, *some_ids(PREFILL_TOKENS + 40, seed=n)], max_tokens=2) for n in range(2)]
    driver.run()
    for turn in turns:
        check(theirs, turn)


def test_one_long_session_does_not_make_all_later_ones_expensive(driver: Driver) -> None:
    for length in (500, 9, 9):
        driver.ask("a", some_ids(length))
        driver.run()
        capacity = driver.shard.cache.capacity
        driver.shard.release("a")
    assert capacity < 500
