"""Wrong costs of a training run, and another right one."""


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
    (eight_written_in, "not for 1"),
    (four_operations, "operations first"),
]
