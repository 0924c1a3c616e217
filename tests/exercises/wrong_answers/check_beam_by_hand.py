"""Chapter 16: beam search on a table of probabilities."""

import heapq
import math


def another(next_log_probs, width, steps):
    alive, best = {(): 0.0}, (-math.inf, [])
    for _ in range(steps):
        pool = {}
        for text, score in alive.items():
            for token, log_prob in enumerate(next_log_probs(list(text))):
                pool[(*text, token)] = score + log_prob
        alive = {}
        for text in heapq.nlargest(width, pool, key=pool.get):
            if text[-1]:
                alive[text] = pool[text]
            elif pool[text] > best[0]:
                best = pool[text], list(text[:-1])
    return best[1], best[0]


def greedy(next_log_probs, width, steps):
    return another(next_log_probs, 1, steps)


def every_text(next_log_probs, width, steps):
    return another(next_log_probs, 10**6, steps)


def first_to_end(next_log_probs, width, steps):
    for n in range(1, steps + 1):
        text, score = another(next_log_probs, width, n)
        if score > -math.inf:
            return text, score


def end_kept(next_log_probs, width, steps):
    text, score = another(next_log_probs, width, steps)
    return [*text, 0], score


def end_is_free(next_log_probs, width, steps):
    text, score = another(next_log_probs, width, steps)
    return text, score - next_log_probs(text)[0]


def probability(next_log_probs, width, steps):
    text, score = another(next_log_probs, width, steps)
    return text, math.exp(score)


def by_length(next_log_probs, width, steps):
    alive, ended = [((), 0.0)], []
    for _ in range(steps):
        pool = [
            ((*text, token), score + log_prob)
            for text, score in alive
            for token, log_prob in enumerate(next_log_probs(text))
        ]
        pool = heapq.nlargest(width, pool, key=lambda pair: pair[1])
        ended += [(t[:-1], s) for t, s in pool if t[-1] == 0]
        alive = [(t, s) for t, s in pool if t[-1]]
    return max(ended, key=lambda pair: pair[1] / (len(pair[0]) + 1))


def each_its_own(next_log_probs, width, steps):
    """The `width` best tokens of each beginning, and all of them go on."""
    alive, ended = [((), 0.0)], []
    for _ in range(steps):
        pool = []
        for text, score in alive:
            row = enumerate(next_log_probs(text))
            for token, log_prob in heapq.nlargest(width, row, key=lambda p: p[1]):
                pool.append(((*text, token), score + log_prob))
        ended += [(t[:-1], s) for t, s in pool if t[-1] == 0]
        alive = [(t, s) for t, s in pool if t[-1]]
    return max(ended, key=lambda pair: pair[1])


def last_step_only(next_log_probs, width, steps):
    alive = [((), 0.0)]
    for _ in range(steps):
        pool = [
            ((*text, token), score + log_prob)
            for text, score in alive
            for token, log_prob in enumerate(next_log_probs(text))
            if token or len(text) == steps - 1
        ]
        alive = heapq.nlargest(width, pool, key=lambda pair: pair[1])
    text, score = alive[0]
    return text[:-1], score


def ended_go_on(next_log_probs, width, steps):
    alive, ended = [((), 0.0)], []
    for _ in range(steps):
        pool = [
            ((*text, token), score + log_prob)
            for text, score in alive
            for token, log_prob in enumerate(next_log_probs(text))
        ]
        alive = heapq.nlargest(width, pool, key=lambda pair: pair[1])
        ended += [(t[:-1], s) for t, s in alive if t[-1] == 0]
    return max(ended, key=lambda pair: pair[1])


def just_the_text(next_log_probs, width, steps):
    return another(next_log_probs, width, steps)[0] * 3


def always_three_steps(next_log_probs, width, steps):
    return another(next_log_probs, width, 3)


WRONG = [
    (greedy, "this is the greedy text"),
    (every_text, "expected"),
    (first_to_end, "is found"),
    (end_kept, "no part of the text"),
    (end_is_free, "score of the end token is missing"),
    (probability, "this is a probability"),
    (by_length, "expected"),
    (each_its_own, "expected"),
    (last_step_only, "expected"),
    (ended_go_on, "a finished text takes no further step"),
    (just_the_text, "two things"),
    (always_three_steps, "has the log-probability"),
]
