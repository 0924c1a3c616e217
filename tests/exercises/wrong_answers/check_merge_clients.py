"""Wrong means of clients, and another right one."""

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


WRONG = [
    (every_client_the_same, "mean of means"),
    (not_divided, "not divided"),
    (twice, "once too often"),
    (in_place, "own tensors were changed"),
    (last_one, "only the last client"),
    (nan, "0 x NaN"),
    (a_list, "return a dict"),
]
