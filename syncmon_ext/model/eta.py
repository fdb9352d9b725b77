"""The time a run still needs, as a range."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, hypot, log, sqrt
from typing import NamedTuple

import msgspec

from syncmon_ext.model.forecast import BLOCKS, forecast
from syncmon_ext.model.speed import Mark, Pace, idle_seconds, normal_gap_seconds

ROW_BYTES = (0.0, 25.0, 100.0, 250.0, 600.0, 1_500.0, 5_000.0, 50_000.0)
ROW_PRIOR = (0.2, 0.5, 1.0, 1.0, 0.7, 0.3, 0.1, 0.01)  # a row costs most often as 100-250 bytes do
MISFIT = 0.15  # tables of one run differ so much in cost for reasons that widths do not explain
EVIDENCE = 0.12  # of a block: blocks of one table say the same thing again
FRESH_DOUBT = 0.25  # how far a table that was never seen may be from what its width says
FRESH_PULL = 0.25  # how much of the present pace holds for it: its index starts small again
TOTAL_DOUBT = 0.08  # how far an estimated total may be from the true one
LEAST_DOUBT = 0.08  # recorded runs changed pace by 10-20 % half-way, because of other work
Z = 1.5  # deviations from mid to an end of the range; the traces of the tests decided


class UnitWork(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one unit's work: how much is planned, how much is committed.

    ``width_bytes`` is the planned width of an average row; where rows are committed, theirs counts.
    A unit that failed or is skipped has no work left either: it is ``done``.
    """

    rows_total: int | None
    rows_committed: int = 0
    bytes_committed: int = 0
    width_bytes: float | None = None
    done: bool = False
    rows_total_is_estimate: bool = False


class Eta(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds a run still needs: ``mid`` is the best guess, ``low`` to ``high`` the range.

    At least eight times in ten the run ends within the range.
    """

    low: float
    mid: float
    high: float


class _Left(NamedTuple):
    """Work that is left: of units begun, of fresh ones, and the deviation of both together."""

    rows: float
    bytes: float
    fresh_rows: float
    fresh_bytes: float
    unsure_rows: float
    unsure_bytes: float


class _Block(NamedTuple):
    """A piece of the run's curve."""

    seconds: float
    rows: int
    bytes: int


def eta(pace: Pace, units: Sequence[UnitWork], now_seconds: float) -> Eta | None:
    """Seconds until all ``units`` are in place, from the run's pace and the work that is left.

    ``now_seconds`` is on the clock of ``Sample.seconds``. None while it cannot be known: a unit of
    unknown total has work left, or less than two commits at different times were seen.

    A row costs time for itself and for its bytes. How much each counts is weighed over a few
    candidates by how evenly they explain the run so far (Bayesian model averaging, Hoeting et al.
    1999), so that a wide table counts for more than its rows. The duration per work is then
    foretold by the mean, the last pace and two damped trends; each counts by how well it would have
    foretold the run's own past (rolling-origin evaluation, Tashman 2000). The errors made there,
    or the unevenness of the pace where it is more, and the doubts about row costs, fresh units and
    estimated totals add up, as variances of the logarithm, to the range.
    """
    if all(unit.done for unit in units):
        return Eta(low=0.0, mid=0.0, high=0.0)
    left = _left(units)
    blocks = _blocks(pace.marks)
    if left is None or len(blocks) < 2:
        return None
    shares, begun, fresh, unsure, cost_doubt = _work(blocks, left)
    seconds = [block.seconds for block in blocks]
    factor, doubt = forecast(seconds, shares, begun + fresh)
    elapsed = sum(seconds)
    mid = elapsed * (begun * factor + fresh * factor**FRESH_PULL)
    gap = pace.gap_seconds or 0.0
    swaps_low, swaps_mid, swaps_high = _swaps(pace, units)
    total = begun + fresh
    sigma = hypot(doubt, cost_doubt, unsure / total, LEAST_DOUBT) if total > 0 else 0.0
    idle = idle_seconds(pace, now_seconds)
    overdue = max(0.0, idle - normal_gap_seconds(pace))  # it may last as long again
    idle = min(idle, gap)
    low = max(0.0, mid * exp(-Z * sigma) - idle - gap + swaps_low)
    high = mid * exp(Z * sigma) + gap + overdue + swaps_high
    mid = max(0.0, mid - idle) + swaps_mid
    return Eta(low=min(low, mid), mid=mid, high=max(mid, high))


def _left(units: Sequence[UnitWork]) -> _Left | None:
    """The work of all units that are not done; None where one's total is unknown.

    A unit with committed rows is as wide as those. Planned widths are of another origin
    (statistics, a sample) than committed bytes, so they are scaled by how the two compare where
    both are known.
    """
    seen_rows = seen_bytes = 0
    planned = actual = 0.0
    for unit in units:
        seen_rows += unit.rows_committed
        seen_bytes += unit.bytes_committed
        if unit.width_bytes and unit.rows_committed:
            planned += unit.width_bytes * unit.rows_committed
            actual += unit.bytes_committed
    scale = min(4.0, max(0.25, actual / planned)) if planned and actual else 1.0
    average = seen_bytes / seen_rows if seen_rows else 0.0
    rows = size = fresh_rows = fresh_size = variance_rows = variance_size = 0.0
    for unit in units:
        if unit.done:
            continue
        if unit.rows_total is None:
            return None
        count = float(max(0, unit.rows_total - unit.rows_committed))
        unsure = 0.0
        if unit.rows_total_is_estimate:
            if unit.rows_committed >= unit.rows_total:  # outgrown: it may end at any row
                count = 0.05 * unit.rows_committed
                unsure = count
            else:
                unsure = min(TOTAL_DOUBT * unit.rows_total, count)
        if unit.rows_committed:
            width = unit.bytes_committed / unit.rows_committed
            rows += count
            size += count * width
        else:
            width = average if unit.width_bytes is None else unit.width_bytes * scale
            unsure = hypot(unsure, FRESH_DOUBT * count)
            fresh_rows += count
            fresh_size += count * width
        variance_rows += unsure * unsure
        variance_size += (unsure * width) ** 2
    return _Left(rows, size, fresh_rows, fresh_size, sqrt(variance_rows), sqrt(variance_size))


def _blocks(marks: Sequence[Mark]) -> list[_Block]:
    """The curve in at most 24 pieces that took about as long as each other."""
    if len(marks) < 2:
        return []
    least = (marks[-1].seconds - marks[0].seconds) / BLOCKS
    if least <= 0:
        return []
    blocks = []
    start = marks[0]
    for mark in marks:
        if mark.seconds - start.seconds >= least * 0.999:
            blocks.append(
                _Block(
                    mark.seconds - start.seconds, mark.rows - start.rows, mark.bytes - start.bytes
                )
            )
            start = mark
    mark = marks[-1]
    rest = _Block(mark.seconds - start.seconds, mark.rows - start.rows, mark.bytes - start.bytes)
    if rest.seconds < least / 2:  # too short to tell a pace
        last = blocks.pop()
        rest = _Block(last.seconds + rest.seconds, last.rows + rest.rows, last.bytes + rest.bytes)
    blocks.append(rest)
    return blocks


def _work(blocks: Sequence[_Block], left: _Left) -> tuple[list[float], float, float, float, float]:
    """Work as a share of all that was done: of each block, left in units begun, in others, unsure.

    The last value is the deviation of the logarithm of what is left over the candidates of a row's
    cost.
    """
    elapsed = sum(block.seconds for block in blocks)
    count = len(blocks)
    candidates = []
    for row_bytes, prior in zip(ROW_BYTES, ROW_PRIOR, strict=True):
        works = [row_bytes * block.rows + block.bytes for block in blocks]
        done = sum(works)
        if done <= 0:  # rows without bytes, at 0 bytes a row
            continue
        pace = elapsed / done
        error = 0.0
        for block, work in zip(blocks, works, strict=True):
            error += (block.seconds - pace * work) ** 2 / block.seconds
        error /= elapsed
        weight = log(prior) - EVIDENCE * count * log(error + MISFIT**2)
        candidates.append((weight, row_bytes, works, done))
    best = max(weight for weight, *_ in candidates)
    shares = [0.0] * count
    begun = fresh = unsure = mass = first = second = 0.0
    for weight, row_bytes, works, done in candidates:
        chance = exp(weight - best)
        mass += chance
        for index, work in enumerate(works):
            shares[index] += chance * work / done
        old = (row_bytes * left.rows + left.bytes) / done
        new = (row_bytes * left.fresh_rows + left.fresh_bytes) / done
        begun += chance * old
        fresh += chance * new
        unsure += chance * (row_bytes * left.unsure_rows + left.unsure_bytes) / done
        value = log(max(old + new, 1e-12))
        first += chance * value
        second += chance * value * value
    middle = first / mass
    doubt = sqrt(max(0.0, second / mass - middle**2))
    # candidates differ by orders of magnitude: their geometric mean is in the middle, no other is
    shrink = exp(middle) * mass / (begun + fresh) if begun + fresh > 0 else 1.0
    begun, fresh, unsure = (part * shrink / mass for part in (begun, fresh, unsure))
    return [share / mass for share in shares], begun, fresh, unsure, doubt


def _swaps(pace: Pace, units: Sequence[UnitWork]) -> tuple[float, float, float]:
    """Seconds that putting the remaining units in place takes: low, mid, high; 0 before the first.

    A swap costs the same for each table (a rename) or by its rows (indexes, rows moved): as it is
    not known which, both are learnt.
    """
    spent = pace.latest.swap_seconds if pace.latest else 0.0
    done = sum(unit.done for unit in units)
    if spent <= 0 or not done:
        return 0.0, 0.0, 0.0
    each = spent / done * (len(units) - done)
    rows = sum(unit.rows_committed for unit in units if unit.done)
    coming = sum(unit.rows_total or 0 for unit in units if not unit.done)
    by_rows = spent / rows * coming if rows else each
    low, high = sorted((each, by_rows))
    return low / 1.5, (low + high) / 2, high * 1.5
