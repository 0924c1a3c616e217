"""Chapter 23: which proposals of a draft are accepted, and what replaces the others."""

import torch


def ratio_of(p, q):
    return (p / q.clamp(min=1e-12)).clamp(max=1)


def rest_of(p, q):
    rest = (p - q).clamp(min=0)
    return rest / rest.sum().clamp(min=1e-12)


def another(p, q):
    """Right: what both have in common, and what of p is left beside it."""
    common = torch.minimum(p, q)
    accept = torch.where(q > 0, common / q, 0.0)
    missing = p - common
    return accept, missing / max(float(missing.sum()), 1e-9)


def in_double(p, q):
    """Right: float64 and lists, equal distributions apart."""
    p, q = p.double(), q.double()
    accept = torch.where(q > 0, p / q, torch.ones_like(q)).clamp(max=1)
    missing = torch.relu(p - q)
    total = missing.sum()
    return [accept, missing / total if total > 0 else p]


def not_capped(p, q):
    return p / q.clamp(min=1e-12), rest_of(p, q)


def all_accepted(p, q):
    return torch.ones_like(p), p


def exchanged(p, q):
    return ratio_of(q, p), rest_of(p, q)


def all_or_nothing(p, q):
    return (p >= q).float(), rest_of(p, q)


def target_alone(p, q):
    return p, rest_of(p, q)


def softened(p, q):
    return ratio_of(p, q).sqrt(), rest_of(p, q)


def redrawn(p, q):
    return ratio_of(p, q), p


def not_normalised(p, q):
    return ratio_of(p, q), (p - q).clamp(min=0)


def negative(p, q):
    return ratio_of(p, q), p - q


def rest_exchanged(p, q):
    return ratio_of(p, q), rest_of(q, p)


def distance(p, q):
    away = (p - q).abs()
    return ratio_of(p, q), away / away.sum().clamp(min=1e-12)


def softmax_of_rest(p, q):
    return ratio_of(p, q), (p - q).softmax(0)


def nan_where_never_proposed(p, q):
    return (p / q).clamp(max=1), rest_of(p, q)


def nan_where_equal(p, q):
    rest = (p - q).clamp(min=0)
    return ratio_of(p, q), rest / rest.sum()


def below_zero(p, q):
    return torch.where(q > 0, ratio_of(p, q), -1.0), rest_of(p, q)


def one_tensor(p, q):
    return ratio_of(p, q)


def one_number(p, q):
    return torch.minimum(p, q).sum(), rest_of(p, q)


RIGHT = [in_double]

EQUIVALENT = {
    "the result is detached": "probabilities are compared; nothing is trained",
}

WRONG = [
    (not_capped, "above 1"),
    (all_accepted, "every proposal is accepted"),
    (exchanged, "exchanged"),
    (all_or_nothing, "refused always"),
    (target_alone, "drawn from q already"),
    (softened, "yours is another"),
    (redrawn, "what is missing"),
    (not_normalised, "add up to 1"),
    (negative, "below 0"),
    (rest_exchanged, "exchanged in rest"),
    (distance, "where q is larger, too"),
    (softmax_of_rest, "divided by its sum"),
    (nan_where_never_proposed, "not finite where q is 0"),
    (nan_where_equal, "0 / 0 where p and q are equal"),
    (below_zero, "they are probabilities"),
    (one_tensor, "return two tensors"),
    (one_number, "a number for each token"),
]
