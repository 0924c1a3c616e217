"""Wrong perplexities of uneven documents, and another right one."""

import math

import numpy as np


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


def last_document_dropped(parts):
    return another(parts[:-1])


def short_documents_dropped(parts):
    return another([(loss, n) for loss, n in parts if n > 1])


def first_nan_alone(parts):
    parts = list(parts)
    for part in parts:
        if part[1] == 0:
            parts.remove(part)
            break
    return empty_document(parts)


def rounded(parts):
    return round(another(parts), 2)


def median_document(parts):
    return math.exp(float(np.median([loss for loss, _ in _real(parts)])))


def base_ten(parts):
    return 10 ** math.log(another(parts))


def sum_of_nats(parts):
    return sum(loss * asked for loss, asked in _real(parts))


def twenty_tokens(parts):
    return math.exp(sum(loss * asked for loss, asked in _real(parts)) / 20)


def geometric_mean_of_documents(parts):
    product = 1.0
    for loss, _ in _real(parts):
        product *= math.exp(loss)
    return product ** (1 / len(parts))


def with_numpy(parts):
    losses, tokens = np.array(parts, dtype=np.float32).T
    return np.exp(np.average(np.nan_to_num(losses), weights=tokens))


def by_nan(parts):
    kept = [(loss, n) for loss, n in parts if loss == loss]
    return math.prod(math.exp(loss * n / sum(n for _, n in kept)) for loss, n in kept)


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
    (last_document_dropped, "5.937273"),
    (short_documents_dropped, "with one predicted token"),
    (first_nan_alone, "two documents"),
    (rounded, "rounded"),
    (median_document, "median"),
    (base_ten, "10 to the"),
    (sum_of_nats, "sum of the nats"),
    (twenty_tokens, "other documents"),
    (geometric_mean_of_documents, "nth root"),
]

RIGHT = [with_numpy, by_nan]
