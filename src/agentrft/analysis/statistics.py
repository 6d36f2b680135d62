"""The few statistics that alarms and comparisons rest on; each is checked in tests against a case worked by hand."""

import statistics
from collections import defaultdict
from collections.abc import Hashable, Sequence
from math import atanh, fsum, inf, isfinite, sqrt, tanh

ONE_SIDED_95 = 1.645


def mean(values: Sequence[float]) -> float:
    """Raises ZeroDivisionError where there is nothing to average."""
    return fsum(values) / len(values)


def ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value from 1; equal values share the mean of their ranks."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for place in order[start:end]:
            found[place] = (start + 1 + end) / 2
        start = end
    return found


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation of pairs, -1..1; None where one side is constant or there is no second pair."""
    if len(first) < 2 or not all(isfinite(value) for value in (*first, *second)):
        return None
    try:
        return statistics.correlation(ranks(first), ranks(second))
    except statistics.StatisticsError:
        return None


def spearman_attainable(first: Sequence[float], second: Sequence[float]) -> float | None:
    """The largest rank correlation that these values can have, however paired: below 1 where some are equal."""
    return spearman(sorted(first), sorted(second))


def spearman_upper(correlation: float, pairs: int) -> float:
    """The one-sided 95 % upper limit of a rank correlation.

    Fisher's z with the standard error 1.06 / sqrt(n - 3) of Fieller, Hartley and Pearson (Biometrika 44, 1957). With so
    few pairs that there is none, 1.
    """
    if pairs <= 3 or correlation >= 1.0:
        return 1.0
    centre = atanh(max(correlation, -1.0 + 1e-12))
    return tanh(centre + ONE_SIDED_95 * 1.06 / sqrt(pairs - 3))


def clustered_stderr(values: Sequence[float], clusters: Sequence[Hashable]) -> float | None:
    """The standard error of the mean where values of one cluster are alike (arXiv 2411.00640); None for one cluster."""
    members: defaultdict[Hashable, list[float]] = defaultdict(list)
    for value, cluster in zip(values, clusters, strict=True):
        members[cluster].append(value)
    count = len(members)
    if count < 2:
        return None
    centre = mean(values)
    squares = fsum(fsum(value - centre for value in group) ** 2 for group in members.values())
    return sqrt(squares * count / (count - 1)) / len(values)


def standard_errors(change: float, *stderrs: float) -> float:
    """A change in standard errors of the difference; infinite where the change is certain."""
    noise = sqrt(fsum(stderr**2 for stderr in stderrs))
    if noise == 0.0:
        return 0.0 if change == 0.0 else (inf if change > 0 else -inf)
    return change / noise
