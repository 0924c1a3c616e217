"""Chapter 24: the next batch of a queue."""


def another(waiting, most):
    taken = [waiting.popleft()] if waiting else []
    room = most - sum(map(len, taken))
    while waiting and len(waiting[0]) <= room:
        taken.append(waiting.popleft())
        room -= len(taken[-1])
    return taken


def large_ones_wait(waiting, most):
    taken, size = [], 0
    while waiting and size + len(waiting[0]) <= most:
        taken.append(waiting.popleft())
        size += len(taken[-1])
    return taken


def from_the_right(waiting, most):
    taken, size = [], 0
    while waiting and (not taken or size + len(waiting[-1]) <= most):
        taken.append(waiting.pop())
        size += len(taken[-1])
    return taken


def passes_over(waiting, most):
    taken, size, left = [], 0, []
    while waiting:
        texts = waiting.popleft()
        if not taken or size + len(texts) <= most:
            taken.append(texts)
            size += len(texts)
        else:
            left.append(texts)
    waiting.extend(left)
    return taken


def one_too_many(waiting, most):
    taken, size = [], 0
    while waiting and size < most:
        taken.append(waiting.popleft())
        size += len(taken[-1])
    return taken


def flat(waiting, most):
    return [text for texts in another(waiting, most) for text in texts]


def leaves_them(waiting, most):
    return another(waiting.copy(), most)


def one_alone(waiting, most):
    return [waiting.popleft()]


WRONG = [
    (large_ones_wait, "wait for ever"),
    (from_the_right, "begin with the oldest"),
    (passes_over, "passed over"),
    (one_too_many, "stop before it is too large"),
    (flat, "a list of requests"),
    (leaves_them, "take what you return out"),
    (one_alone, "one more would fit"),
]
