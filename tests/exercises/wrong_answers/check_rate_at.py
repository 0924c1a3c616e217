"""Wrong schedules, and another right one."""

import math

import torch


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


def smooth_step(*args):
    return _rate(*args, shape=lambda x: 1 - x * x * (3 - 2 * x))


def rounded(*args):
    return round(_rate(*args), 6)


def ends_early(step, peak, warmup, hold, total, floor):
    return _rate(step, peak, warmup, hold, total - 1, floor)


def one_set(step, peak, warmup, hold, total, floor):
    return _rate(step, peak, min(warmup, 5), hold, total, floor)


def a_tenth(step, peak, warmup, hold, total, floor):
    return _rate(step, peak, warmup, hold, total, peak / 10)


def from_the_floor(step, peak, warmup, hold, total, floor):
    if step < warmup:
        return floor + (peak - floor) * (step + 1) / warmup
    return _rate(step, peak, warmup, hold, total, floor)


def in_a_tensor(step, peak, warmup, hold, total, floor):
    up = torch.tensor((step + 1) / max(warmup, 1)).clamp(max=1)
    away = torch.tensor((step - warmup - hold) / (total - warmup - hold)).clamp(0, 1)
    return up * floor + up * (peak - floor) * (1 + torch.cos(math.pi * away)) / 2


def by_sine(step, peak, warmup, hold, total, floor):
    if step < warmup + hold:
        return min(peak, peak * (step + 1) / max(warmup, 1))
    away = min((step - warmup - hold) / (total - warmup - hold), 1)
    return peak - (peak - floor) * math.sin(math.pi / 2 * away) ** 2


def never_below_the_floor(step, peak, warmup, hold, total, floor):
    return max(floor, _rate(step, peak, warmup, hold, total, floor))


def nothing_after_the_end(step, peak, warmup, hold, total, floor):
    return _rate(step, peak, warmup, hold, total, floor) if step <= total else 0.0


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
    (smooth_step, "not half a cosine"),
    (rounded, "rate is rounded"),
    (ends_early, "half-way"),
    (one_set, "(0.0001, 8, 0, 1000"),
    (a_tenth, "(0.3, 1, 0, 7, 0.0)"),
    (never_below_the_floor, "(1.0, 9, 3, 30, 0.4)"),
    (nothing_after_the_end, "stays at the floor"),
]

RIGHT = [in_a_tensor, by_sine]

EQUIVALENT = {
    "`step < warmup + hold` -> `step <= warmup + hold`": (
        "the first step of the decay is at the peak too"
    ),
    "`min(1.0, (step - warmup - hold) / (total - warmup - hold))` -> "
    "`min((step - warmup - hold) / (total - warmup - hold), 1.0)`": (
        "the smaller of the same two numbers"
    ),
}
