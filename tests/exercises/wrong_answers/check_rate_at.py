"""Wrong schedules, and another right one."""

import math


def another(step, peak, warmup, hold, total, floor):
    up = min(1.0, (step + 1) / warmup) if warmup else 1.0
    done = min(max(step - warmup - hold, 0) / (total - warmup - hold), 1.0)
    return up * (floor + (peak - floor) * math.cos(math.pi * done / 2) ** 2)


def _rate(
    step,
    peak,
    warmup,
    hold,
    total,
    floor,
    *,
    plus=1,
    begin=None,
    shape=None,
    end=1.0,
    low=None,
):
    begin = warmup + hold if begin is None else begin
    if step < warmup:
        return peak * (step + plus) / warmup
    if step < warmup + hold:
        return peak
    done = min(end, (step - begin) / (total - begin))
    shape = shape or (lambda x: 0.5 * (1 + math.cos(math.pi * x)))
    low = floor if low is None else low
    return low + (peak - low) * shape(done)


def first_is_zero(*args):
    return _rate(*args, plus=0)


def factor(step, peak, *args):
    return _rate(step, peak, *args) / peak


def floor_added(step, peak, warmup, hold, total, floor):
    return floor + _rate(step, peak, warmup, hold, total, 0.0)


def no_hold(step, peak, warmup, hold, total, floor):
    return _rate(step, peak, warmup, 0, total, floor)


def jumps(step, peak, warmup, hold, total, floor):
    return _rate(step, peak, warmup, hold, total, floor, begin=0)


def straight(*args):
    return _rate(*args, shape=lambda x: 1 - x)


def to_zero(*args):
    return _rate(*args, low=0.0)


def whole_cosine(*args):
    return _rate(*args, shape=lambda x: math.cos(math.pi * x))


def rises_again(*args):
    return _rate(*args, end=9.0)


def no_warmup(step, peak, warmup, hold, total, floor):
    return _rate(max(step, warmup), peak, warmup, hold, total, floor)


WRONG = [
    (first_is_zero, "step + 1"),
    (factor, "factor"),
    (floor_added, "added on top"),
    (no_hold, "stays at peak"),
    (jumps, "no jump"),
    (straight, "straight line"),
    (to_zero, "ends at 0"),
    (whole_cosine, "0.5 * (1 + cos)"),
    (rises_again, "rises again"),
    (no_warmup, "the warm-up is not"),
]
