"""Confidence intervals of rates and of their differences.

Wilson, "Probable inference, the law of succession, and statistical inference", 1927: the interval
of a rate from its score test. Newcombe, "Interval estimation for the difference between
independent proportions", 1998, method 10: the difference of two rates from their Wilson intervals.
Both hold for small samples and for rates near 0 and 1, where the usual approximation does not.
"""

from __future__ import annotations

import math

CONFIDENCE = 0.95
Z_95 = 1.959963984540054  # of the standard normal distribution, two-sided
MIN_SAMPLE = 20  # below it, nothing is said about a rate


def wilson(successes: int, sample: int, *, z: float = Z_95) -> tuple[float, float]:
    """Return the interval of the rate of *successes* in *sample*, which is above 0."""
    rate = successes / sample
    scale = 1 + z * z / sample
    centre = (rate + z * z / (2 * sample)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / sample + z * z / (4 * sample * sample))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == sample else min(1.0, centre + half)
    return low, high


def difference(
    successes: int, sample: int, other_successes: int, other_sample: int, *, z: float = Z_95
) -> tuple[float, float]:
    """Return the interval of a rate minus another one. Both samples are above 0."""
    rate, other_rate = successes / sample, other_successes / other_sample
    low, high = wilson(successes, sample, z=z)
    other_low, other_high = wilson(other_successes, other_sample, z=z)
    middle = rate - other_rate
    return (
        middle - math.hypot(rate - low, other_high - other_rate),
        middle + math.hypot(high - rate, other_rate - other_low),
    )


def z_of_comparisons(number: int) -> float:
    """Return the z with which *number* comparisons together have :data:`CONFIDENCE` (Bonferroni):
    of twenty-four hours, one would otherwise seem better by chance."""
    if number <= 1:
        return Z_95
    from statistics import NormalDist  # lazily: it costs the start ten milliseconds

    return NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / (2 * number))
