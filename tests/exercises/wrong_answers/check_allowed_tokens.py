"""Chapter 18: the tokens that keep a call valid."""


def another(written, calls, vocabulary):
    rest = [c[len(written) :] for c in calls if c.startswith(written)]
    return {t for t in vocabulary for r in rest if r.startswith(t)}


def whole_words(written, calls, vocabulary):
    return {t for t in vocabulary if written + t in calls}


def anywhere(written, calls, vocabulary):
    return {t for t in vocabulary if any(t in c for c in calls)}


def first_letter(written, calls, vocabulary):
    rest = [c[len(written) :] for c in calls if c.startswith(written)]
    return {t for t in vocabulary if any(t[0] == r[:1] for r in rest)}


def one_call(written, calls, vocabulary):
    fits = [c for c in calls if c.startswith(written)][:1]
    return another(written, fits, vocabulary)


def a_number(written, calls, vocabulary):
    return len(another(written, calls, vocabulary))


WRONG = [
    (whole_words, "may follow as well"),
    (anywhere, "no call begins with"),
    (first_letter, "no call begins with"),
    (one_call, "may follow as well"),
    (a_number, "as a set"),
]
