"""Wrong starts of a low-rank pair, and another right one."""

import torch


def another(d_in, d_out, rank):
    """The other way round: A zero, B random. It learns as well."""
    return torch.zeros(rank, d_in), torch.nn.init.normal_(
        torch.empty(d_out, rank), std=rank**-0.5
    )


def _random(*shape):
    return torch.randn(*shape) * shape[1] ** -0.5


def both_zero(d_in, d_out, rank):
    return torch.zeros(rank, d_in), torch.zeros(d_out, rank)


def both_random(d_in, d_out, rank):
    return _random(rank, d_in), _random(d_out, rank)


def exchanged(d_in, d_out, rank):
    return torch.zeros(d_out, rank), _random(rank, d_in)


def transposed(d_in, d_out, rank):
    return _random(d_in, rank), torch.zeros(d_out, rank)


def b_transposed(d_in, d_out, rank):
    return _random(rank, d_in), torch.zeros(rank, d_out)


def copies(d_in, d_out, rank):
    return _random(1, d_in).repeat(rank, 1), torch.zeros(d_out, rank)


def seeded(d_in, d_out, rank):
    torch.manual_seed(1)
    return _random(rank, d_in), torch.zeros(d_out, rank)


def large(d_in, d_out, rank):
    return torch.randn(rank, d_in), torch.zeros(d_out, rank)


def tiny(d_in, d_out, rank):
    return 1e-6 * torch.randn(rank, d_in), torch.zeros(d_out, rank)


def one_of_two(d_in, d_out, rank):
    return _random(rank, d_in)


def by_rank(d_in, d_out, rank):
    return torch.randn(rank, d_in) / rank, torch.zeros(d_out, rank)


def by_root_of_outputs(d_in, d_out, rank):
    return torch.randn(rank, d_in) / d_out**0.5, torch.zeros(d_out, rank)


def by_inputs(d_in, d_out, rank):
    return torch.randn(rank, d_in) / d_in, torch.zeros(d_out, rank)


def whole_numbers(d_in, d_out, rank):
    return _random(rank, d_in), torch.zeros(d_out, rank, dtype=torch.long)


def as_peft_draws(d_in, d_out, rank):
    """Right: peft's own start."""
    return torch.nn.init.kaiming_uniform_(
        torch.empty(rank, d_in), a=5**0.5
    ), torch.zeros(d_out, rank)


RIGHT = [as_peft_draws]

WRONG = [
    (both_zero, "both are zero"),
    (both_random, "B A is not zero"),
    (exchanged, "exchanged"),
    (transposed, "A has the shape"),
    (b_transposed, "B has the shape"),
    (copies, "copies of one another"),
    (seeded, "a seed is set"),
    (large, "would be too large"),
    (tiny, "next to no gradient"),
    (one_of_two, "return two tensors"),
    (by_rank, "divided by rank"),
    (by_root_of_outputs, "divided by sqrt(d_out)"),
    (by_inputs, "divided by d_in"),
    (whole_numbers, "integers have no gradient"),
]
