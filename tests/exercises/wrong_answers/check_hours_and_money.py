"""Wrong costs of a training run, and another right one."""

import math
from fractions import Fraction

import torch

from ftlib.evaluation import cost


def another(weights, tokens, gpus, peak, share, price):
    gpu_hours = 6 * weights * tokens / peak / share / 3600
    return gpu_hours / gpus, gpu_hours * price


def _with(hours_factor=1.0, money=None):
    def run(weights, tokens, gpus, peak, share, price):
        hours = 6 * weights * tokens / (peak * share * gpus) / 3600
        return hours * hours_factor, hours * gpus * price if money is None else money(
            hours, gpus, price
        )

    return run


def seconds(weights, tokens, gpus, peak, share, price):
    return _with(3600)(weights, tokens, gpus, peak, share, price)


def minutes(weights, tokens, gpus, peak, share, price):
    return _with(60)(weights, tokens, gpus, peak, share, price)


def forward_only(weights, tokens, gpus, peak, share, price):
    return _with(1 / 3)(weights, tokens, gpus, peak, share, price)


def one_each(weights, tokens, gpus, peak, share, price):
    return _with(1 / 6)(weights, tokens, gpus, peak, share, price)


def whole_peak(weights, tokens, gpus, peak, share, price):
    return _with(share)(weights, tokens, gpus, peak, share, price)


def share_upside_down(weights, tokens, gpus, peak, share, price):
    return _with(share**2)(weights, tokens, gpus, peak, share, price)


def one_gpu(weights, tokens, gpus, peak, share, price):
    return _with(gpus)(weights, tokens, gpus, peak, share, price)


def more_is_slower(weights, tokens, gpus, peak, share, price):
    return _with(gpus**2)(weights, tokens, gpus, peak, share, price)


def pays_for_one(weights, tokens, gpus, peak, share, price):
    return _with(money=lambda hours, gpus, price: hours * price)(
        weights, tokens, gpus, peak, share, price
    )


def no_price(weights, tokens, gpus, peak, share, price):
    return _with(money=lambda hours, gpus, price: hours * gpus)(
        weights, tokens, gpus, peak, share, price
    )


def hours_alone(weights, tokens, gpus, peak, share, price):
    return _with()(weights, tokens, gpus, peak, share, price)[0]


def eight_written_in(weights, tokens, gpus, peak, share, price):
    return _with(money=lambda hours, gpus, price: hours * 8 * price)(
        weights, tokens, gpus, peak, share, price
    )


def four_operations(weights, tokens, gpus, peak, share, price):
    return _with(4 / 6)(weights, tokens, gpus, peak, share, price)


def with_run_cost(weights, tokens, gpus, peak, share, price):
    machine = cost.Machine("gpu", peak=peak, memory_gb=80, price=price)
    plan = cost.run_cost(weights, tokens, machine, devices=gpus, mfu=share)
    return plan.hours, plan.money


def price_written_in(weights, tokens, gpus, peak, share, price):
    return another(weights, tokens, gpus, peak, share, 2.0)


def peak_written_in(weights, tokens, gpus, peak, share, price):
    return another(weights, tokens, gpus, 4e14, share, price)


def share_written_in(weights, tokens, gpus, peak, share, price):
    return another(weights, tokens, gpus, peak, 0.3, price)


def other_order(weights, tokens, gpus, peak, share, price):
    return another(weights, tokens, gpus, peak, share, price)[::-1]


def whole_hours(weights, tokens, gpus, peak, share, price):
    hours = math.ceil(another(weights, tokens, gpus, peak, share, price)[0])
    return hours, hours * gpus * price


def whole_hours_are_paid(weights, tokens, gpus, peak, share, price):
    hours = another(weights, tokens, gpus, peak, share, price)[0]
    return hours, math.ceil(hours) * gpus * price


def rounded(weights, tokens, gpus, peak, share, price):
    hours, money = another(weights, tokens, gpus, peak, share, price)
    return round(hours, 1), money


def rounded_money(weights, tokens, gpus, peak, share, price):
    hours, money = another(weights, tokens, gpus, peak, share, price)
    return hours, round(money)


def days(weights, tokens, gpus, peak, share, price):
    return _with(1 / 24)(weights, tokens, gpus, peak, share, price)


def pays_for_the_share(weights, tokens, gpus, peak, share, price):
    hours, money = another(weights, tokens, gpus, peak, share, price)
    return hours, money * share


def exact(weights, tokens, gpus, peak, share, price):
    work = 6 * Fraction(weights) * Fraction(tokens)
    hours = work / (gpus * Fraction(peak) * Fraction(share) * 3600)
    return [hours, hours * gpus * Fraction(price)]


def tensors(weights, tokens, gpus, peak, share, price):
    speed = torch.tensor(peak * share)
    gpu_hours = torch.tensor(float(tokens)) * 6 * weights / speed / 3600
    return torch.stack([gpu_hours / gpus, gpu_hours * price])


WRONG = [
    (seconds, "seconds"),
    (minutes, "minutes"),
    (forward_only, "forward pass"),
    (one_each, "1 operation"),
    (whole_peak, "full peak"),
    (share_upside_down, "do not multiply"),
    (one_gpu, "here eight"),
    (more_is_slower, "divide the operations among them"),
    (pays_for_one, "pay for all eight"),
    (no_price, "lacks the price"),
    (hours_alone, "two numbers"),
    (eight_written_in, "gpus=1"),
    (four_operations, "operations first"),
    (with_run_cost, "run_cost"),
    (price_written_in, "price"),
    (peak_written_in, "peak="),
    (share_written_in, "share"),
    (other_order, "the other way round"),
    (whole_hours, "whole hours"),
    (whole_hours_are_paid, "pay for whole hours"),
    (rounded, "the number of hours is rounded"),
    (rounded_money, "money is rounded"),
    (days, "these are days"),
    (pays_for_the_share, "you pay for the whole"),
]

RIGHT = [exact, tensors]
