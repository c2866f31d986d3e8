"""What figures over seeds say: how they are written down, and whether two of them differ."""

import math
import statistics
from collections.abc import Sequence
from typing import Literal

# Less than this part of the other is no difference worth a word; of a single seed, less than that.
SMALLEST, SMALLEST_OF_ONE = 0.01, 0.05

Verdict = Literal["lower", "higher", "alike"]


def mean(values: Sequence[float]) -> float:
    return statistics.fmean(values)


def deviation(values: Sequence[float]) -> float:
    """The standard deviation over seeds; 0 of a single one, infinite where one of them has burst."""
    if len(values) < 2:
        return 0.0
    return statistics.stdev(values) if math.isfinite(sum(values)) else math.inf


def error_of_mean(values: Sequence[float]) -> float:
    return deviation(values) / math.sqrt(len(values))


def compare(ours: Sequence[float], theirs: Sequence[float], paired: bool = False) -> Verdict:
    """Whether the mean of ``ours`` is below or above that of ``theirs``.

    They differ if the means are further apart than two standard errors of their difference, and
    than one in a hundred. With one seed there is no error to be known: then than one in twenty.
    An infinite mean is above any other, and so is that of no values: of runs that have all burst.

    Args:
        paired: they belong together one by one, such as two figures of the same network, so that
            the error is that of the mean of their differences.
    """
    ours, theirs = ours or [math.inf], theirs or [math.inf]
    difference = mean(ours) - mean(theirs)
    if math.isfinite(difference):
        error = math.hypot(error_of_mean(ours), error_of_mean(theirs))
        if paired:
            error = error_of_mean([a - b for a, b in zip(ours, theirs, strict=True)])
        smallest = SMALLEST_OF_ONE if min(len(ours), len(theirs)) < 2 else SMALLEST
        if abs(difference) <= max(2 * error, smallest * abs(mean(theirs))):
            return "alike"
    return "lower" if difference < 0 else "higher" if difference > 0 else "alike"


def lower(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    return compare(ours, theirs) == "lower"


def higher(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    return compare(ours, theirs) == "higher"


def number(value: float, digits: int = 3) -> str:
    """A figure in so many significant digits, as one writes it: 12,300, 1.05, 3.2e-08."""
    if not math.isfinite(value):
        return "∞" if value > 0 else str(value)
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e9:
        return f"{value:.{max(digits - 2, 0)}e}"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):,.{max(places, 0)}f}"


# Where the highest is so many times the lowest, a mean says nothing.
FAR = 100


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean ± standard deviation over the seeds, to the place where the deviation begins.

    Where some have burst, median [lowest, highest].
    """
    if not values:
        return "–"
    if max(values) > FAR * min(values) > 0:
        low, middle, high = min(values), statistics.median(values), max(values)
        return f"{number(middle, digits)} [{number(low, digits)}, {number(high, digits)}]"
    middle, about = mean(values), deviation(values)
    if len(values) < 2 or not 1e-3 <= abs(middle) < 1e9:
        return number(middle, digits)
    if about == 0:
        return f"{number(middle, digits)} ± 0"
    first = digits - 1 - math.floor(math.log10(abs(middle)))
    # Two digits more than the mean alone would have, at most.
    places = min(max(-math.floor(math.log10(about)), first), first + 2)
    shown = max(places, 0)
    return f"{round(middle, places):,.{shown}f} ± {round(about, places):,.{shown}f}"


def percent(value: float) -> str:
    value *= 100
    if value >= 10 or value == 0:
        return f"{value:.0f} %"
    return f"{value:.1f} %" if value >= 0.1 else "below 0.1 %"


def listed(words: Sequence[str]) -> str:
    """a, b and c."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
