"""Chapter 18: labels of the answers alone."""


def inside(start, end, spans):
    return any(a <= start and end <= b for a, b in spans)


def another(ids, offsets, spans):
    labels = [-100] * len(ids)
    for i, (start, end) in enumerate(offsets):
        if inside(start, end, spans):
            labels[i] = ids[i]
    return labels


def whole_text(ids, offsets, spans):
    return list(ids)


def first_span(ids, offsets, spans):
    return another(ids, offsets, spans[:1])


def without_the_end(ids, offsets, spans):
    return another(ids, offsets, [(a, b - 1) for a, b in spans])


def shifted(ids, offsets, spans):
    labels = another(ids, offsets, spans)
    following = [*ids[1:], 0]
    return [n if label != -100 else -100 for n, label in zip(following, labels)]


def mask(ids, offsets, spans):
    return [1 if x != -100 else 0 for x in another(ids, offsets, spans)]


def shorter(ids, offsets, spans):
    return [x for x in another(ids, offsets, spans) if x != -100]


WRONG = [
    (whole_text, "prompt is no target"),
    (first_span, "every answer counts"),
    (without_the_end, "up to its last token"),
    (shifted, "the token's own id"),
    (mask, "gets -100"),
    (shorter, "one label a token"),
]
