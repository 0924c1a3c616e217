"""Chapter 22: deletion by relevance against deletion at random."""


def fall(score, tokens, positions):
    left = [token for i, token in enumerate(tokens) if i not in set(positions)]
    return score(tokens) - score(left)


def parts(score, tokens, relevance, draws, k):
    order = sorted(range(len(tokens)), key=lambda i: relevance[i], reverse=True)
    return fall(score, tokens, order[:k]), [fall(score, tokens, d) for d in draws]


def another(score, tokens, relevance, draws, k):
    own, by_chance = parts(score, tokens, relevance, draws, k)
    return own - sum(by_chance) / len(by_chance)


def alone(score, tokens, relevance, draws, k):
    return parts(score, tokens, relevance, draws, k)[0]


def sign_turned(score, tokens, relevance, draws, k):
    return -another(score, tokens, relevance, draws, k)


def least_relevant(score, tokens, relevance, draws, k):
    return another(score, tokens, [-r for r in relevance], draws, k)


def sum_of_draws(score, tokens, relevance, draws, k):
    own, by_chance = parts(score, tokens, relevance, draws, k)
    return own - sum(by_chance)


def first_draw(score, tokens, relevance, draws, k):
    own, by_chance = parts(score, tokens, relevance, draws, k)
    return own - by_chance[0]


def best_draw(score, tokens, relevance, draws, k):
    own, by_chance = parts(score, tokens, relevance, draws, k)
    return own - max(by_chance)


def first_tokens(score, tokens, relevance, draws, k):
    return another(score, tokens, [-i for i in range(len(tokens))], draws, k)


def ratio(score, tokens, relevance, draws, k):
    own, by_chance = parts(score, tokens, relevance, draws, k)
    return own / (sum(by_chance) / len(by_chance))


WRONG = [
    (alone, "take off what random deletions do"),
    (sign_turned, "sign is turned"),
    (least_relevant, "least relevant tokens"),
    (sum_of_draws, "not their sum"),
    (first_draw, "one random draw is chance"),
    (best_draw, "not the best"),
    (first_tokens, "first tokens are deleted"),
    (ratio, "take the difference"),
]
