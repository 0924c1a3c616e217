"""Wrong perplexities of uneven documents, and another right one."""

import math


def another(parts):
    logarithm, tokens = 0.0, 0
    for loss, asked in parts:
        if asked > 0:
            logarithm, tokens = logarithm + loss * asked, tokens + asked
    return math.e ** (logarithm / tokens)


def _real(parts):
    return [(loss, asked) for loss, asked in parts if asked]


def empty_document(parts):
    return math.exp(
        sum(loss * asked for loss, asked in parts) / sum(asked for _, asked in parts)
    )


def mean_of_means(parts):
    return math.exp(sum(loss for loss, _ in _real(parts)) / len(_real(parts)))


def mean_of_perplexities(parts):
    return sum(math.exp(loss) for loss, _ in _real(parts)) / len(_real(parts))


def weighted_perplexities(parts):
    return sum(math.exp(loss) * asked for loss, asked in _real(parts)) / sum(
        asked for _, asked in parts
    )


def still_a_loss(parts):
    return math.log(another(parts))


def power_of_two(parts):
    return 2 ** math.log(another(parts))


def by_documents(parts):
    return math.exp(
        sum(loss * asked for loss, asked in _real(parts)) / len(_real(parts))
    )


def by_all_documents(parts):
    return math.exp(sum(loss * asked for loss, asked in _real(parts)) / len(parts))


def one_token_more(parts):
    return math.exp(
        sum(loss * asked for loss, asked in _real(parts))
        / (sum(asked for _, asked in parts) + 1)
    )


WRONG = [
    (empty_document, "has no targets"),
    (mean_of_means, "mean of means"),
    (mean_of_perplexities, "mean of perplexities"),
    (weighted_perplexities, "weighted by tokens and averaged"),
    (still_a_loss, "its exponential"),
    (power_of_two, "base is e"),
    (by_documents, "by the number of documents"),
    (by_all_documents, "number of all documents"),
    (one_token_more, "all target tokens"),
]
