"""Chapter 15: a tag for the first token of each word."""


def another(word_ids, tags):
    seen, result = set(), []
    for word in word_ids:
        result.append(None if word is None or word in seen else tags[word])
        seen.add(word)
    return result


def every_token(word_ids, tags):
    return [None if word is None else tags[word] for word in word_ids]


def special_are_o(word_ids, tags):
    return [
        "O" if word is None else tag
        for word, tag in zip(word_ids, another(word_ids, tags))
    ]


def words_alone(word_ids, tags):
    return list(tags)


def last_token(word_ids, tags):
    return another(word_ids[::-1], tags)[::-1]


def in_a_tuple(word_ids, tags):
    """Right: a tuple."""
    return tuple(another(word_ids, tags))


RIGHT = [in_a_tuple]

WRONG = [
    (every_token, "continues a word"),
    (special_are_o, "belongs to no word"),
    (words_alone, "one entry a token"),
    (last_token, "is the first of its word"),
]
