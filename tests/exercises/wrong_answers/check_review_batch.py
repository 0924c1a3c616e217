"""Wrong repairs of the snippet that counts padding as text and cuts the verdict off,
and another right one.
"""

import torch

from ftlib.data import tokenization


def another(tokenizer, texts, max_tokens):
    rows = []
    for text in texts:
        ids = tokenizer.encode(text).ids
        if len(ids) > max_tokens:
            back = (max_tokens - 2) // 2
            ids = ids[: max_tokens - 1 - back] + ids[len(ids) - 1 - back :]
        rows.append(torch.tensor(ids))
    padded = torch.nn.utils.rnn.pad_sequence(
        rows, batch_first=True, padding_value=tokenizer.token_to_id("[PAD]")
    )
    mask = torch.stack(
        [torch.arange(padded.shape[1]) < len(row) for row in rows]
    ).long()
    return {"input_ids": padded, "attention_mask": mask, "tokens": sum(map(len, rows))}


def _batch(tokenizer, texts, max_tokens, keep="both"):
    batch = tokenization.pad(tokenization.encode(tokenizer, texts, max_tokens, keep))
    return batch | {"tokens": int(batch["attention_mask"].sum())}


def as_printed(tokenizer, texts, max_tokens):
    rows = [tokenizer.encode(text).ids[:max_tokens] for text in texts]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "tokens": ids.numel(),
    }


def mask_of_ones(tokenizer, texts, max_tokens):
    batch = _batch(tokenizer, texts, max_tokens)
    return batch | {"attention_mask": torch.ones_like(batch["input_ids"])}


def head_only(tokenizer, texts, max_tokens):
    return _batch(tokenizer, texts, max_tokens, "head")


def tail_only(tokenizer, texts, max_tokens):
    return _batch(tokenizer, texts, max_tokens, "tail")


def places_counted(tokenizer, texts, max_tokens):
    batch = _batch(tokenizer, texts, max_tokens)
    return batch | {"tokens": batch["input_ids"].numel()}


def mask_turned_round(tokenizer, texts, max_tokens):
    batch = _batch(tokenizer, texts, max_tokens)
    return batch | {"attention_mask": 1 - batch["attention_mask"]}


def fixed_width(tokenizer, texts, max_tokens):
    rows = tokenization.encode(tokenizer, texts, max_tokens, "both")
    batch = tokenization.pad([*rows, [0] * max_tokens])
    ids = batch["input_ids"][:-1]
    return {
        "input_ids": ids,
        "attention_mask": (ids != 0).long(),
        "tokens": int((ids != 0).sum()),
    }


def padded_with_0(tokenizer, texts, max_tokens):
    rows = tokenization.encode(tokenizer, texts, max_tokens, "both")
    batch = tokenization.pad(rows)
    return batch | {"tokens": int(batch["attention_mask"].sum())}


def longest_first(tokenizer, texts, max_tokens):
    texts = sorted(texts, key=lambda t: -len(t.split()))
    return another(tokenizer, texts, max_tokens)


def frame_not_counted(tokenizer, texts, max_tokens):
    batch = another(tokenizer, texts, max_tokens)
    return batch | {"tokens": batch["tokens"] - 2 * len(texts)}


def counted_before(tokenizer, texts, max_tokens):
    tokens = sum(len(tokenizer.encode(text).ids) for text in texts)
    return another(tokenizer, texts, max_tokens) | {"tokens": tokens}


def as_floats(tokenizer, texts, max_tokens):
    batch = another(tokenizer, texts, max_tokens)
    return batch | {"input_ids": batch["input_ids"].float()}


def one_id_too_few(tokenizer, texts, max_tokens):
    """Cuts a review that has exactly max_tokens ids."""
    batch = another(tokenizer, texts, max_tokens)
    if batch["input_ids"].shape[1] < max_tokens or max_tokens == 12:
        return batch
    return another(tokenizer, texts, max_tokens - 1)


def without_empty_ones(tokenizer, texts, max_tokens):
    return another(tokenizer, [text for text in texts if text], max_tokens)


def middle_as_end(tokenizer, texts, max_tokens):
    """The end is turned round."""
    batch = another(tokenizer, texts, max_tokens)
    for row, n in zip(batch["input_ids"], batch["attention_mask"].sum(1).tolist()):
        if n == max_tokens:
            row[n // 2 : n - 1] = row[n // 2 : n - 1].flip(0)
    return batch


def mask_from_the_ids(tokenizer, texts, max_tokens):
    batch = another(tokenizer, texts, max_tokens)
    mask = batch["input_ids"] != 0
    return batch | {"attention_mask": mask, "tokens": int(mask.sum())}


def as_lists(tokenizer, texts, max_tokens):
    """Lists, a bool mask, and one more id of the end than of the start."""
    rows = [tokenizer.encode(text).ids for text in texts]
    half = max_tokens // 2
    rows = [
        row
        if len(row) <= max_tokens
        else row[:half] + row[len(row) - (max_tokens - half) :]
        for row in rows
    ]
    longest, pad = max(map(len, rows)), tokenizer.token_to_id("[PAD]")
    return {
        "input_ids": [row + [pad] * (longest - len(row)) for row in rows],
        "attention_mask": [[i < len(row) for i in range(longest)] for row in rows],
        "tokens": torch.tensor(sum(map(len, rows))),
    }


def with_the_tokenizers_padding(tokenizer, texts, max_tokens):
    tokenizer.enable_padding(
        pad_id=tokenizer.token_to_id("[PAD]"), pad_token="[PAD]", length=None
    )
    tokenizer.no_padding()
    rows = tokenization.encode(tokenizer, texts, max_tokens, "both")
    batch = tokenization.pad(rows, tokenizer.token_to_id("[PAD]"))
    return batch | {"tokens": sum(map(len, rows))}


WRONG = [
    (as_printed, "lost its closing [SEP]"),
    (mask_of_ones, "1 everywhere"),
    (head_only, "verdict"),
    (tail_only, "beginning"),
    (places_counted, "number of positions, so"),
    (mask_turned_round, "does not match the ids"),
    (fixed_width, "longest row of the batch only"),
    (padded_with_0, "the id of [PAD] is"),
    (longest_first, "in their order"),
    (frame_not_counted, "expected 19"),
    (counted_before, "tokens is"),
    (as_floats, "dtype"),
    (one_id_too_few, "one that does not fit keeps"),
    (without_empty_ones, "reviews with max_tokens"),
    (middle_as_end, "last ids"),
    (mask_from_the_ids, "the mask of a row"),
]

RIGHT = [as_lists, with_the_tokenizers_padding]

EQUIVALENT = {
    ("`int(batch['attention_mask'].sum())` -> `batch['attention_mask'].sum()`"): (
        "a number in a tensor is a number too"
    ),
}
