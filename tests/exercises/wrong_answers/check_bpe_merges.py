"""Wrong BPE trainers, and another right one."""

from collections import Counter


def _train(counts, number, weight=None, best_of=None, join=None, least=2):
    words = {word: list(word) for word in counts}
    ids = {char: i for i, char in enumerate(sorted(set("".join(counts))))}
    merges = []
    for _ in range(number):
        pairs = Counter()
        for word, symbols in words.items():
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += weight(counts[word]) if weight else counts[word]
        if not pairs or max(pairs.values()) < least:
            break
        best = (
            best_of(pairs, words, counts)
            if best_of
            else max(
                pairs, key=lambda p: (pairs[p], -ids.get(p[0], 0), -ids.get(p[1], 0))
            )
        )
        merges.append(best)
        ids.setdefault("".join(best), len(ids))
        words = {
            word: (join or _join)(symbols, best) for word, symbols in words.items()
        }
    return merges


def _join(symbols, pair):
    out, i = [], 0
    while i < len(symbols):
        both = tuple(symbols[i : i + 2]) == pair
        out.append("".join(pair) if both else symbols[i])
        i += 1 + both
    return out


def another(counts, number):
    return _train(counts, number)


def once_a_word(counts, number):
    return _train(counts, number, weight=lambda times: 1)


def counted_once(counts, number):
    pairs = Counter()
    for word, times in counts.items():
        for pair in zip(word, word[1:]):
            pairs[pair] += times
    return sorted(pairs, key=lambda p: (-pairs[p], p))[:number]


def by_score(counts, number):
    def best(pairs, words, counts):
        single = Counter()
        for word, symbols in words.items():
            for symbol in symbols:
                single[symbol] += counts[word]
        # ties by the number of the symbols, which for the first merges of the check is
        # their order
        return min(pairs, key=lambda p: (-pairs[p] / (single[p[0]] * single[p[1]]), p))

    return _train(counts, number, best_of=best, least=1)


def strings(counts, number):
    return ["".join(pair) for pair in _train(counts, number)]


def other_tie(counts, number):
    return _train(
        counts,
        number,
        best_of=lambda pairs, words, counts: max(pairs, key=lambda p: (pairs[p], p)),
    )


def goes_on(counts, number):
    return _train(counts, number, least=1)


def one_too_few(counts, number):
    return _train(counts, number - 1)


def by_replace(counts, number):
    def join(symbols, pair):
        return " ".join(symbols).replace(" ".join(pair), "".join(pair)).split(" ")

    return _train(counts, number, join=join)


WRONG = [
    (once_a_word, "every word counts once"),
    (counted_once, "counted once at the start"),
    (by_score, "WordPiece's score"),
    (strings, "merges are pairs"),
    (other_tie, "smaller ids"),
    (goes_on, "that occurs once"),
    (one_too_few, "5 merges came back"),
    (by_replace, "border of a symbol"),
]
