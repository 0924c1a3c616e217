"""Wrong means of clients, and another right one."""

import numpy as np
import torch


def another(states, sizes):
    kept = [(state, n) for state, n in zip(states, sizes) if n]
    weight = torch.tensor([float(n) for _, n in kept])
    return {
        name: torch.tensordot(
            weight / weight.sum(), torch.stack([s[name] for s, _ in kept]), dims=1
        )
        for name in states[0]
    }


def _mean(states, shares):
    return {
        name: sum(share * state[name] for state, share in zip(states, shares))
        for name in states[0]
    }


def every_client_the_same(states, sizes):
    return _mean(states, [1 / len(sizes)] * len(sizes))


def not_divided(states, sizes):
    return _mean(states, sizes)


def twice(states, sizes):
    return _mean(states, [n / sum(sizes) / len(sizes) for n in sizes])


def in_place(states, sizes):
    mean = states[0]
    for name in mean:
        mean[name] *= sizes[0] / sum(sizes)
        for state, n in zip(states[1:], sizes[1:]):
            mean[name] += state[name] * n / sum(sizes)
    return mean


def last_one(states, sizes):
    for state in states:
        mean = {name: tensor.clone() for name, tensor in state.items()}
    return mean


def nan(states, sizes):
    return _mean(states, [n / sum(sizes) for n in sizes])


def a_list(states, sizes):
    return list(_mean(states, [n / sum(sizes) for n in sizes]).values())


def three_clients(states, sizes):
    return another(states[:3], sizes[:3])


def second_names(states, sizes):
    return {name: another(states, sizes)[name] for name in states[1]}


def nan_left_out(states, sizes):
    kept = [
        (state, n)
        for state, n in zip(states, sizes)
        if not any(value.isnan().any() for value in state.values())
    ]
    return another(*zip(*kept))


def one_row_left_out(states, sizes):
    kept = [(state, n) for state, n in zip(states, sizes) if n > 1]
    return another(*zip(*kept))


def square_roots(states, sizes):
    roots = [n**0.5 for n in sizes]
    return _mean(states, [root / sum(roots) for root in roots])


def sorted_sizes(states, sizes):
    return another(states, sorted(sizes))


def first_client_as_it_is(states, sizes):
    return states[0] if len(states) == 1 else another(states, sizes)


def weights_alone(states, sizes):
    mean = another(states, sizes)
    return {name: mean[name] for name in mean if name.endswith("weight")}


def rounded(states, sizes):
    return {k: v.mul(1e3).round() / 1e3 for k, v in another(states, sizes).items()}


def half_precision(states, sizes):
    return {k: v.half().float() for k, v in another(states, sizes).items()}


def running_mean(states, sizes):
    seen, mean = 0, None
    for state, n in zip(states, sizes):
        if n == 0:
            continue
        seen += n
        if mean is None:
            mean = {name: value.double() for name, value in state.items()}
        else:
            for name in mean:
                mean[name] = mean[name] + (state[name] - mean[name]) * n / seen
    return mean


def average(states, sizes):
    kept = [i for i, n in enumerate(sizes) if n]
    rows = [sizes[i] for i in kept]
    return {
        name: torch.as_tensor(
            np.average([states[i][name].numpy() for i in kept], axis=0, weights=rows)
        )
        for name in states[0]
    }


WRONG = [
    (every_client_the_same, "mean of means"),
    (not_divided, "not divided"),
    (twice, "once too often"),
    (in_place, "changes states, which it was given"),
    (last_one, "only the last client"),
    (nan, "0 x NaN"),
    (a_list, "is a list"),
    (three_clients, "for 5 with"),
    (second_names, "IndexError"),
    (nan_left_out, "of a client with rows"),
    (one_row_left_out, "one row counts"),
    (square_roots, "square roots"),
    (sorted_sizes, "sizes are sorted"),
    (first_client_as_it_is, "shares a tensor"),
    (weights_alone, "the names are"),
    (rounded, "rounded"),
    (half_precision, "half precision"),
]

RIGHT = [running_mean, average]

EQUIVALENT = {
    "`0` -> `-1`": "all clients have the same names",
    "the result is detached": (
        "state dicts have no graph, and the server trains nothing through the mean"
    ),
}
