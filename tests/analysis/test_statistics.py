"""Each statistic against a case that was worked by hand."""

from math import atanh, inf, isclose, sqrt, tanh

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrft.analysis.statistics import (
    clustered_stderr,
    ranks,
    spearman,
    spearman_attainable,
    spearman_upper,
    standard_errors,
)


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    assert ranks([0.5, 1.0, 0.5, 0.0]) == [2.5, 4.0, 2.5, 1.0]
    assert ranks([]) == []


def test_a_rank_correlation_worked_by_hand() -> None:
    # Ranks 1..5 against 2, 1, 4, 3, 5: squared differences 1 + 1 + 1 + 1 + 0, so 1 - 6 * 4 / (5 * 24) = 0.8.
    assert spearman([1, 2, 3, 4, 5], [20, 10, 40, 30, 50]) == pytest.approx(0.8)


def test_a_rank_correlation_with_ties_worked_by_hand() -> None:
    # Ranks 1.5, 1.5, 3.5, 3.5 against 1, 2.5, 2.5, 4: deviations -1 -1 1 1 and -1.5 0 0 1.5, covariance 3,
    # squares 4 and 4.5: 3 / sqrt(18).
    assert spearman([0, 0, 1, 1], [0.1, 0.5, 0.5, 0.9]) == pytest.approx(3 / sqrt(18))


def test_there_is_no_rank_correlation_without_differences() -> None:
    assert spearman([1, 1, 1], [1, 2, 3]) is None
    assert spearman([1], [1]) is None
    assert spearman([1, float("nan")], [1, 2]) is None


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=30))
def test_a_rank_correlation_knows_only_the_order(pairs: list[tuple[int, int]]) -> None:
    first, second = [float(a) for a, _ in pairs], [float(b) for _, b in pairs]
    found = spearman(first, second)
    stretched = spearman([value**3 + 1 for value in first], second)
    swapped = spearman(second, first)
    turned = spearman([-value for value in first], second)
    if found is None:
        assert (stretched, swapped, turned) == (None, None, None)
    else:
        assert -1 - 1e-9 <= found <= 1 + 1e-9
        assert stretched is not None
        assert swapped is not None
        assert turned is not None
        assert isclose(found, stretched, abs_tol=1e-9)
        assert isclose(found, swapped, abs_tol=1e-9)
        assert isclose(found, -turned, abs_tol=1e-9)


def test_the_upper_limit_of_a_rank_correlation_needs_pairs() -> None:
    # 1.645 * 1.06 / sqrt(103 - 3) = 0.17437
    assert spearman_upper(0.6, 103) == pytest.approx(tanh(atanh(0.6) + 0.17437), abs=1e-5)
    assert spearman_upper(0.6, 30) > spearman_upper(0.6, 300) > 0.6
    assert spearman_upper(-1.0, 3) == 1.0
    assert spearman_upper(1.0, 50) == 1.0
    assert spearman_upper(-1.0, 1000) < -0.99


def test_a_standard_error_counts_items_and_not_attempts() -> None:
    # Mean 0.5; residuals sum to +1 in item a and -1 in item b: sqrt((1 + 1) * 2 / 1) / 4 = 0.5.
    assert clustered_stderr([1, 1, 0, 0], ["a", "a", "b", "b"]) == pytest.approx(0.5)
    # The same rewards of four items: residuals +-0.5: sqrt(4 * 0.25 * 4 / 3) / 4 = 0.2887.
    assert clustered_stderr([1, 1, 0, 0], [1, 2, 3, 4]) == pytest.approx(sqrt(1 / 12))
    assert clustered_stderr([1, 0], ["a", "a"]) is None


def test_a_change_is_measured_in_errors_of_the_difference() -> None:
    assert standard_errors(0.5, 0.03, 0.04) == pytest.approx(10.0)
    assert standard_errors(0.0, 0.0) == 0.0
    assert standard_errors(-0.1, 0.0, 0.0) == -inf


def test_equal_values_bound_what_a_rank_correlation_can_be() -> None:
    # Passed by 3 and by 7 of 10: covariance 0.3 - 0.21, variances 0.21 each.
    strict, lenient = [0, 1, 0, 0, 1, 0, 0, 1, 0, 0], [1, 1, 0, 1, 1, 0, 1, 1, 0, 1]
    assert spearman_attainable(strict, lenient) == pytest.approx(0.09 / 0.21)
    assert spearman_attainable([3, 1, 2], [7, 9, 8]) == pytest.approx(1.0)
    assert spearman_attainable([1, 1, 1], [1, 2, 3]) is None
