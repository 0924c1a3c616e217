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


def from_three(counts, number):
    return _train(counts, number, least=3)


def right_before_left(counts, number):
    def best(pairs, words, counts):
        return min(pairs, key=lambda p: (-pairs[p], p[1], p[0]))

    return _train(counts, number, best_of=best)


def by_text(counts, number):
    """Ties by the text of the symbols instead of their numbers."""

    def best(pairs, words, counts):
        return min(pairs, key=lambda p: (-pairs[p], p))

    return _train(counts, number, best_of=best)


def lower_case(counts, number):
    lowered = Counter()
    for word, times in counts.items():
        lowered[word.lower()] += times
    return _train(lowered, number)


def one_word_at_least(counts, number):
    return _train(counts, max(number, 1))


def not_without_words(counts, number):
    return _train(counts, number) if max(counts.values()) else []


def as_lists(counts, number):
    return tuple([left, right] for left, right in _train(counts, number))


def by_numbers(counts, number):
    """The symbols are numbers from the start, and become text at the end."""
    texts = sorted({char for word in counts for char in word})
    words = [([texts.index(char) for char in word], n) for word, n in counts.items()]
    merges = []
    while len(merges) < number:
        pairs = {}
        for symbols, times in words:
            for pair in zip(symbols[:-1], symbols[1:]):
                pairs[pair] = pairs.get(pair, 0) + times
        most = max(pairs.values(), default=0)
        if most < 2:
            return merges
        best = sorted(pair for pair, times in pairs.items() if times == most)[0]
        merges.append((texts[best[0]], texts[best[1]]))
        joined = "".join(merges[-1])
        texts += [] if joined in texts else [joined]
        new = texts.index(joined)
        for symbols, _ in words:
            i = 0
            while i < len(symbols) - 1:
                if (symbols[i], symbols[i + 1]) == best:
                    symbols[i : i + 2] = [new]
                i += 1
    return merges


WRONG = [
    (once_a_word, "every word counts once"),
    (counted_once, "counted once at the start"),
    (by_score, "WordPiece's score"),
    (strings, "merges are pairs"),
    (other_tie, "smaller left number wins"),
    (goes_on, "that occurs once"),
    (one_too_few, "5 merges came back"),
    (by_replace, "border of a symbol"),
    (from_three, "a pair that occurs twice is merged"),
    (right_before_left, "in a tie"),
    (by_text, "every new symbol gets the next one"),
    (lower_case, "merge "),
    (one_word_at_least, "no merge is asked for"),
    (not_without_words, "ValueError"),
]

RIGHT = [as_lists, by_numbers]

EQUIVALENT = {
    "`tuple(word)` -> `word`": "a str is a sequence of its characters",
}
