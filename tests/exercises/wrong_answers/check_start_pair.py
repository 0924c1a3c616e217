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


def never_negative(d_in, d_out, rank):
    return torch.rand(rank, d_in) / d_in**0.5, torch.zeros(d_out, rank)


def own_generator(d_in, d_out, rank):
    generator = torch.Generator()
    generator.seed()
    return torch.randn(rank, d_in, generator=generator) / d_in**0.5, torch.zeros(
        d_out, rank
    )


def diagonal(d_in, d_out, rank):
    return torch.eye(rank, d_in), torch.zeros(d_out, rank)


def rank_of_one(d_in, d_out, rank):
    return torch.randn(rank, 1) * _random(1, d_in), torch.zeros(d_out, rank)


def thirty_columns(d_in, d_out, rank):
    return torch.randn(rank, d_in) / 30, torch.zeros(d_out, rank)


def eight_at_most(d_in, d_out, rank):
    rank = min(rank, 9)
    return _random(rank, d_in), torch.zeros(d_out, rank)


def parameters(d_in, d_out, rank):
    """Right: parameters in a list, drawn in place."""
    drawn = torch.empty(rank, d_in).normal_(std=d_in**-0.5)
    return [torch.nn.Parameter(drawn), torch.nn.Parameter(torch.zeros(d_out, rank))]


def signs(d_in, d_out, rank):
    """Right: random signs, in float64."""
    drawn = torch.randint(2, (rank, d_in), dtype=torch.float64) * 2 - 1
    return drawn / d_in**0.5, torch.zeros(d_out, rank, dtype=torch.float64)


RIGHT = [as_peft_draws, parameters, signs]

WRONG = [
    (both_zero, "both are zero"),
    (both_random, "B A is not zero"),
    (exchanged, "exchanged"),
    (transposed, "A has the shape"),
    (b_transposed, "B has the shape"),
    (rank_of_one, "multiples of one another"),
    (seeded, "a seed is set"),
    (large, "would be too large"),
    (tiny, "next to no gradient"),
    (one_of_two, "return two tensors"),
    (by_rank, "divided by rank"),
    (by_root_of_outputs, "divided by sqrt(d_out)"),
    (by_inputs, "divided by d_in"),
    (whole_numbers, "integers have no gradient"),
    (never_negative, "do not lie around 0"),
    (own_generator, "global generator"),
    (diagonal, "are zeros"),
    (thirty_columns, "rank 16 the standard deviation"),
    (eight_at_most, "rank 16 the shapes are"),
]
