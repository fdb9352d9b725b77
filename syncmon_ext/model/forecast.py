"""The forecast of how long coming work takes, from how long the work done so far took."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import exp, log, sqrt
from typing import NamedTuple

BLOCKS = 24  # pieces of a run's curve that are compared with each other
DECAYS = (0.0, 0.15, 0.4, 0.8)  # forgotten per 24th of the run: the plain mean, …, the last block
CURVE = 0.02  # a logarithmic trend starts so far before the run does, or it would start at infinity
DAMPING = 10.0  # a trend of three standard errors counts half
STRETCH = 8.0  # no trend makes work take more than so many times longer or shorter
CLOSENESS = 0.02  # methods that err by less than 2 % are all equally good
SHARPNESS = 1.5  # how strongly a method that errs less is preferred
RECENCY = 4.0  # errors count less the longer ago they were made
TEMPER = 0.03  # of a block's evidence for a method: neighbours err alike
MOST_EVIDENCE = 4.0  # a run of luck must not silence the other methods


def forecast(
    seconds: Sequence[float], shares: Sequence[float], ahead: float
) -> tuple[float, float]:
    """How many times longer the coming work takes than the run's mean, and the doubt about it.

    ``seconds`` and ``shares`` are the run's blocks, at least two, each of which took time: how long
    it took, and its share of all the work done. ``ahead`` is the work to come, as such a share. The
    doubt is a deviation of the logarithm.

    Means that forget at four speeds and two damped trends each foretell; how well they would have
    foretold the run's own past decides how much each counts (rolling-origin evaluation, Tashman
    2000).
    """
    count = len(seconds)
    times = list(accumulate(seconds, initial=0.0))
    works = list(accumulate(shares, initial=0.0))
    methods: list[list[_Line]] = [_levels(seconds, shares, decay) for decay in DECAYS]
    offset = CURVE * works[-1]
    curve = [log(work + offset) for work in works]
    methods.append(_trends(seconds, shares, works))
    methods.append(_trends(seconds, shares, curve))
    errors = [0.0] * len(methods)
    weights = 0.0
    end = 0
    for origin in range(2, count):
        horizon = ahead * works[origin]
        end = max(end, origin + 1)
        while end < count and works[end] - works[origin] < horizon:
            end += 1
        share = works[end] - works[origin]
        if share <= 0:
            continue
        # an origin tells most when as much followed it, for what it knew, as is to come now
        weight = min(1.0, share / horizon) if horizon > 0 else 1.0
        weight *= exp(-RECENCY * (1 - works[origin]))
        truth = log((times[end] - times[origin]) / share)
        weights += weight
        for index, cost in enumerate(_costs(methods, origin, works[origin], share, offset)):
            errors[index] += weight * (log(cost) - truth) ** 2
    errors = [error / weights if weights else 0.04 for error in errors]
    chances = [
        evidence * (error + CLOSENESS**2) ** -SHARPNESS
        for error, evidence in zip(errors, _evidence(methods, seconds, shares, works), strict=True)
    ]
    mass = sum(chances)
    chances = [chance / mass for chance in chances]
    now = [log(cost) for cost in _costs(methods, count, works[-1], ahead, offset)]
    level = sum(chance * cost for chance, cost in zip(chances, now, strict=True))
    spread = sum(chance * (cost - level) ** 2 for chance, cost in zip(chances, now, strict=True))
    past = sum(chance * error for chance, error in zip(chances, errors, strict=True))
    noise = _noise(seconds, shares, ahead)
    return exp(level) / times[-1] * works[-1], sqrt(spread + max(past, noise))


def _evidence(
    methods: Sequence[Sequence[_Line]],
    seconds: Sequence[float],
    shares: Sequence[float],
    works: Sequence[float],
) -> list[float]:
    """How likely each method makes what followed at once, block after block; 1 for the best.

    Where the pace has changed for good, this tells so within a block or two. The yardstick is the
    median of the differences between neighbours, which a change of level does not widen.
    """
    offset = CURVE * works[-1]
    logs = [log(second / share) for second, share in zip(seconds, shares, strict=True)]
    jumps = sorted((after - before) ** 2 for before, after in pairwise(logs))
    noise = 1.1 * jumps[len(jumps) // 2]  # half the mean square of the jumps, from their median
    steps = [0.0] * len(methods)
    for origin in range(2, len(logs)):
        costs = _costs(methods, origin, works[origin], shares[origin], offset)
        for index, cost in enumerate(costs):
            steps[index] += (log(cost) - logs[origin]) ** 2
    best = min(steps)
    return [
        exp(-min(MOST_EVIDENCE, TEMPER * (step - best) / (noise + CLOSENESS**2))) for step in steps
    ]


class _Line(NamedTuple):
    """A cost (seconds per share of work) as a line over the place: known up to one block."""

    cost: float
    slope: float
    centre: float


def _costs(
    methods: Sequence[Sequence[_Line]], origin: int, done: float, ahead: float, offset: float
) -> list[float]:
    """What each method foretells at ``origin`` for the cost of the next ``ahead`` of work."""
    middle = done + min(ahead, 2 * done) / 2
    places = [middle] * (len(methods) - 1) + [log(middle + offset)]
    costs = []
    for lines, place in zip(methods, places, strict=True):
        cost, slope, centre = lines[origin]
        value = cost + slope * (place - centre)
        costs.append(min(STRETCH * cost, max(cost / STRETCH, value)))
    return costs


def _levels(seconds: Sequence[float], shares: Sequence[float], decay: float) -> list[_Line]:
    """After each block, the cost as a mean in which a block counts less by the work done since.

    ``decay`` is how much of a block is forgotten with each 24th of the run: 0 makes the plain mean.
    """
    lines = [_Line(0.0, 0.0, 0.0)]
    weighted_seconds = weighted_share = 0.0
    for second, share in zip(seconds, shares, strict=True):
        keep = (1 - decay) ** (share * BLOCKS)
        weighted_seconds = weighted_seconds * keep + second
        weighted_share = weighted_share * keep + share
        lines.append(_Line(weighted_seconds / weighted_share, 0.0, 0.0))
    return lines


def _trends(
    seconds: Sequence[float], shares: Sequence[float], places: Sequence[float]
) -> list[_Line]:
    """After each block, the cost by least squares over the place, the slope damped by its doubt.

    Blocks weigh by their work; ``places`` are the ends of the blocks. All sums grow by one block.
    """
    lines = [_Line(0.0, 0.0, 0.0)]
    total = first = second_moment = time = lean = squares = 0.0
    for count, (second, share, (start, end)) in enumerate(
        zip(seconds, shares, pairwise(places), strict=True), start=1
    ):
        place = (start + end) / 2
        total += share
        first += share * place
        second_moment += share * place * place
        time += second
        lean += second * place
        squares += second * second / share
        mean, centre = time / total, first / total
        spread = second_moment - first * centre
        slope = 0.0
        if count > 2 and spread > 1e-9 * second_moment:
            raw = (lean - time * centre) / spread
            rest = max(0.0, squares - time * mean - raw * raw * spread)
            doubt = rest / (count - 2) / spread
            slope = raw**3 / (raw**2 + DAMPING * doubt) if raw else 0.0
        lines.append(_Line(mean, slope, centre))
    return lines


def _noise(seconds: Sequence[float], shares: Sequence[float], ahead: float) -> float:
    """The variance that an uneven pace leaves in the means of the past and of the future."""
    count = len(seconds)
    mean = sum(seconds)  # of a share of 1
    variance = covariance = before = 0.0
    for second, share in zip(seconds, shares, strict=True):
        error = (second - mean * share) / sqrt(second)
        variance += error * error
        covariance += error * before
        before = error
    if variance <= 0:
        return 0.0
    tie = min(0.8, max(0.0, covariance / variance))
    variance /= mean
    return variance / count * (1 + tie) / (1 - tie) * (1 + 1 / max(ahead, 1 / count))
