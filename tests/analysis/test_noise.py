import pytest

from agentrft.analysis.noise import compare_gradings, noise_message


def test_noise_is_worked_out_from_pairs_of_grades() -> None:
    # Differences 0.0, 0.2 and 0.4: (0.04 + 0.16) / (2 * 3) = 0.0333, its root 0.1826. Rewards 0 and 1: deviation 0.5.
    noise = compare_gradings({"a": 0.5, "b": 0.5, "c": 0.5}, {"a": 0.5, "b": 0.7, "c": 0.1}, [0.0, 1.0])
    assert noise is not None
    assert (noise.episodes, noise.differing) == (3, 2)
    assert noise.largest == pytest.approx(0.4)
    assert noise.noise_std == pytest.approx(0.18257, abs=1e-5)
    assert noise.spread_std == 0.5
    assert (noise.deterministic, noise.drowns_signal) == (False, False)
    assert "2 of 3 episodes got another reward, by up to 0.4" in noise_message(noise)


def test_noise_of_more_than_half_the_spread_drowns_the_signal() -> None:
    noise = compare_gradings({"a": 0.4}, {"a": 0.6}, [0.4, 0.6])
    assert noise is not None
    assert noise.drowns_signal
    assert "temperature" in noise_message(noise)


def test_rounding_is_no_noise_and_a_grader_that_failed_says_nothing() -> None:
    same = compare_gradings({"a": 0.1 + 0.2, "b": 1.0}, {"a": 0.3}, [0.3, 1.0])
    assert same is not None
    assert same.deterministic
    assert compare_gradings({"a": 1.0}, {}, [1.0]) is None
