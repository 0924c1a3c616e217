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


WRONG = [
    (as_printed, "lost its closing [SEP]"),
    (mask_of_ones, "1 everywhere"),
    (head_only, "verdict"),
    (tail_only, "beginning"),
    (places_counted, "number of positions, so"),
    (mask_turned_round, "does not match the ids"),
    (fixed_width, "longest row of the batch only"),
]
