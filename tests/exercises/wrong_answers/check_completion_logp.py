"""Chapter 20: the log-probability of a completion given its prompt."""

import torch.nn.functional as F


def another(logits, ids, prompt_tokens):
    start = prompt_tokens - 1
    return -F.cross_entropy(logits[start:-1], ids[start + 1 :], reduction="sum")


def in_a_loop(logits, ids, prompt_tokens):
    total = 0.0
    for t in range(prompt_tokens, len(ids)):
        total += float(logits[t - 1].log_softmax(-1)[ids[t]])
    return total


def article(logits, ids, prompt_tokens):
    logps = logits.log_softmax(-1)
    return logps.gather(1, ids[:, None])[:, 0].sum()


def late(logits, ids, prompt_tokens):
    logps = logits[prompt_tokens:].log_softmax(-1)
    return logps.gather(1, ids[prompt_tokens:, None]).sum()


def with_prompt(logits, ids, prompt_tokens):
    return another(logits, ids, 1)


def without_first(logits, ids, prompt_tokens):
    return another(logits, ids, prompt_tokens + 1)


def without_last(logits, ids, prompt_tokens):
    return another(logits[:-1], ids[:-1], prompt_tokens)


def mean(logits, ids, prompt_tokens):
    return another(logits, ids, prompt_tokens) / (len(ids) - prompt_tokens)


def loss(logits, ids, prompt_tokens):
    return -another(logits, ids, prompt_tokens)


def raw_logits(logits, ids, prompt_tokens):
    return logits[prompt_tokens - 1 : -1].gather(1, ids[prompt_tokens:, None]).sum()


def over_time(logits, ids, prompt_tokens):
    logps = logits[prompt_tokens - 1 : -1].log_softmax(0)
    return logps.gather(1, ids[prompt_tokens:, None]).sum()


def probabilities(logits, ids, prompt_tokens):
    probs = logits[prompt_tokens - 1 : -1].softmax(-1)
    return probs.gather(1, ids[prompt_tokens:, None]).sum()


def each_token(logits, ids, prompt_tokens):
    start = prompt_tokens - 1
    return -F.cross_entropy(logits[start:-1], ids[start + 1 :], reduction="none")


EQUIVALENT = {
    "`logits[prompt_tokens - 1:-1]` -> `logits[prompt_tokens - 1:]`": (
        "gather reads as many rows as there are ids, and the last one is not read"
    ),
    "`-1` -> `1` (2)": "the last of two dimensions is dimension 1",
    "the result is detached": "the clinic asks for a number, and nothing is trained",
}

RIGHT = [in_a_loop]

WRONG = [
    (article, "the prompt counts, and"),
    (late, "shift by one"),
    (with_prompt, "the prompt counts as well"),
    (without_first, "first token of the completion is missing"),
    (without_last, "the last token of the completion is missing"),
    (mean, "that is the mean"),
    (loss, "the sign is turned"),
    (raw_logits, "those are logits"),
    (over_time, "over the vocabulary"),
    (probabilities, "take the logarithm of each"),
    (each_token, "one number"),
]
