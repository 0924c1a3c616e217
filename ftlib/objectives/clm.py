"""Causal language modelling (GPT, Radford et al. 2018): predict each token from those
before it, then write on.

Use it:

    >>> ids = torch.randint(5, 100, (4, 16))
    >>> # labels are the ids; the loss shifts them, as in transformers
    >>> batch = causal_batch(ids)
    >>> # the first token of a row is no target
    >>> int((batch["labels"] != -100).sum())
    60
    >>> scores = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    >>> (
    ...     keep_top_k(scores, 2).exp().gt(0).tolist(),
    ...     keep_top_p(scores, 0.7).exp().gt(0).tolist(),
    ... )
    ([[True, True, False, False]], [[True, True, False, False]])
    >>> int(sample_token(scores, temperature=0))  # greedy
    0

`generate(model, ids, 20, seed=0)` writes 20 tokens more. With `cached=True` it keeps
the keys and values of what it has read, and reads one new token a step instead of the
whole text. Prompts of several lengths take `attention_mask`, 1 for tokens and 0 for
padding, on either side: each row gets the text that it gets alone.

What it is not: the model (transformer.py) or the loop (train.py). Losses and sampling
take any model that returns `.logits`; the cache takes the pre-norm causal LanguageModel
of transformer.py, whose parts it calls by name. Needs: torch only.

Shapes: B rows, T tokens, N new tokens, D width, H heads, K = D / H head width, V
vocabulary.
"""

import functools
import inspect
import math

import torch
import torch.nn.functional as F


def checked(check):
    """A decorator: `check` gets a function's arguments, {name: value}, before the
    function does. It raises for what cannot be used, and may put right what can.
    """

    def decorate(function):
        signature = inspect.signature(function)

        @functools.wraps(function)
        def guarded(*arguments, **keywords):
            given = signature.bind(*arguments, **keywords)
            given.apply_defaults()
            check(given.arguments)
            return function(*given.args, **given.kwargs)

        return guarded

    return decorate


def check_ids(input_ids):
    """Raise unless the ids are a LongTensor (B, T), not empty and none negative."""
    if not isinstance(input_ids, torch.Tensor) or input_ids.dtype != torch.long:
        kind = getattr(input_ids, "dtype", type(input_ids).__name__)
        raise TypeError(
            f"input_ids are {kind}, token ids are a LongTensor (B, T); write "
            "torch.tensor(rows), or call .long() if they are whole numbers"
        )
    if input_ids.ndim != 2 or 0 in input_ids.shape:
        raise ValueError(
            f"input_ids have the shape {tuple(input_ids.shape)}, (B, T) is needed with "
            "at least 1 row of 1 token; write ids[None] for a single row"
        )
    if (least := int(input_ids.min())) < 0:
        raise ValueError(
            f"input_ids have {least} among them, token ids begin at 0; give the ids "
            "and not the labels, whose -100 is no token"
        )


def _check_batch(given):
    """What `causal_batch` cannot use: ids that are none, a mask of other rows."""
    input_ids, mask = given["input_ids"], given["attention_mask"]
    check_ids(input_ids)
    if mask is None:
        return
    if not isinstance(mask, torch.Tensor) or mask.shape != input_ids.shape:
        shape = tuple(getattr(mask, "shape", ())) or type(mask).__name__
        raise ValueError(
            f"attention_mask has the shape {shape}, input_ids "
            f"{tuple(input_ids.shape)}; give a tensor with 1 or 0 for each id"
        )
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError(
            f"attention_mask has values from {mask.min():g} to {mask.max():g}, 1 for a "
            "token and 0 for padding are needed; write ids != pad_id"
        )


@checked(_check_batch)
def causal_batch(input_ids, attention_mask=None):
    """The batch of a causal model: {"input_ids", "labels"} (B, T), and "attention_mask"
    if there is one.

    labels are the ids themselves, as transformers wants them, with -100 at padding and
    at the first token of a row: nothing stands before it, so it is no target, and
    train.steps must not count it. With a mask there are also "position_ids" (B, T),
    which count the tokens: padding may stand on either side, and the loss is that of
    the rows without it.
    Raises TypeError for ids that are no LongTensor, ValueError for none, for negative
    ones, and for a mask of another shape or with other values.
    """
    labels = input_ids.clone()
    labels[:, 0] = -100
    batch = {"input_ids": input_ids, "labels": labels}
    if attention_mask is None:
        return batch
    real = attention_mask.bool()
    labels[~real] = -100
    # only padding stands before the first token, wherever that is
    labels[:, 1:][~real[:, :-1]] = -100
    position_ids = (real.cumsum(-1) - 1).clamp(min=0)
    return batch | {"attention_mask": attention_mask, "position_ids": position_ids}


def clm_loss(model, batch):
    """Summed cross-entropy, in nats: the logits at position t predict the label at
    position t + 1.
    """
    names = ("input_ids", "attention_mask", "position_ids")
    logits = model(**{k: batch[k] for k in names if k in batch}).logits  # (B, T, V)
    labels = batch["labels"][:, 1:].flatten()
    # float32, whatever autocast made of the logits: bfloat16 keeps two to three digits
    return F.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), labels, ignore_index=-100, reduction="sum"
    )


def _check_logits(given):
    """What cannot be drawn from: the wrong axis or a wrong number would be cut."""
    logits, k, p = given["logits"], given.get("k"), given.get("p")
    if logits.ndim != 2 or 0 in logits.shape:
        raise ValueError(
            f"logits have the shape {tuple(logits.shape)}, (B, V) is needed; take the "
            "last position, logits[:, -1], and write logits[None] for a single row"
        )
    if k is not None and not hasattr(k, "__index__"):
        raise TypeError(
            f"k is {repr(k)[:40]}; it counts tokens, so give a whole number"
        )
    temperature = given.get("temperature", 1.0)
    drawn = temperature >= 0 and (k is None or k >= 1) and (p is None or 0 < p <= 1)
    if not drawn:  # written so that NaN, which is not below anything, is refused
        raise ValueError(
            f"temperature={temperature}, k={k}, p={p}; take temperature >= 0, k >= 1 "
            "and 0 < p <= 1"
        )


@checked(_check_logits)
def keep_top_k(logits, k):
    """(B, V) -> (B, V): the k largest stay, the others become -inf (Fan et al.
    2018).
    """
    smallest = logits.topk(min(k, logits.shape[-1])).values[:, -1:]  # (B, 1)
    return logits.masked_fill(logits < smallest, float("-inf"))


@checked(_check_logits)
def keep_top_p(logits, p):
    """(B, V) -> (B, V): the fewest tokens whose probabilities reach p stay (nucleus
    sampling, Holtzman et al. 2020).
    """
    ordered, order = logits.sort(descending=True)
    # the probability of all likelier tokens
    before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
    # a token goes if the likelier ones reach p without it; the likeliest has 0 before
    # it and stays for every p > 0
    # back to the order of the vocabulary
    dropped = (before >= p).scatter(-1, order, before >= p)
    return logits.masked_fill(dropped, float("-inf"))


@checked(_check_logits)
def sample_token(logits, temperature=1.0, k=None, p=None, generator=None):
    """Draw a token id for each row, (B, V) -> (B,). Temperature 0 takes the likeliest;
    k and p leave out unlikely ones.

    Raises ValueError for a temperature below 0, k below 1, or p outside (0, 1].
    """
    if (
        temperature < 0
        or (k is not None and k < 1)
        or (p is not None and not 0 < p <= 1)
    ):
        raise ValueError(
            f"temperature={temperature}, k={k}, p={p}; take temperature "
            ">= 0, k >= 1 and 0 < p <= 1"
        )
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits.float() / temperature
    logits = logits if k is None else keep_top_k(logits, k)
    logits = logits if p is None else keep_top_p(logits, p)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(1)


def cached_logits(model, input_ids, cache, attention_mask=None):
    """Logits (B, V) behind the last of the new tokens, `input_ids` (B, N); the earlier
    ones are in `cache`.

    cache: a list, [] at first; this function fills it with (keys, values), (B, H, T, K)
        each, one pair a layer.
    attention_mask: (B, kept + N), 1 for tokens and 0 for padding, which is hidden and
        takes no position; the last column must hold a token.
    An earlier token never looks at a later one, so its keys and values stay what they
    were: only the new ones are made.
    """
    net, N, H = model.encoder, input_ids.shape[1], model.config.heads
    seen = cache[0][0].shape[2] if cache else 0
    # the kept ones, and those up to me
    mask = torch.ones(N, seen + N, dtype=torch.bool, device=input_ids.device).tril(seen)
    positions = net.positions.weight[seen : seen + N]
    if attention_mask is not None:  # (B, seen + N)
        mask = mask & attention_mask[:, None, None].bool()
        positions = net.positions(attention_mask.cumsum(-1).sub(1).clamp(min=0)[:, -N:])
    x = net.tokens(input_ids) + positions  # (B, N, D)
    for layer, block in enumerate(net.blocks):
        q, k, v = block.attention.qkv(block.norm1(x)).chunk(3, dim=-1)
        # (B, H, N, K)
        q, k, v = (t.unflatten(-1, (H, -1)).transpose(1, 2) for t in (q, k, v))
        if seen:
            # (B, H, seen + N, K)
            k = torch.cat([cache[layer][0], k], dim=2)
            v = torch.cat([cache[layer][1], v], dim=2)
        cache[layer : layer + 1] = [(k, v)]
        y = F.scaled_dot_product_attention(q, k, v, mask)
        x = x + block.attention.out(y.transpose(1, 2).flatten(2))
        x = x + block.down(block.gelu(block.up(block.norm2(x))))
    return model.head(net.norm_out(x[:, -1]))


def in_eval_mode(function):
    """`function(model, ...)` with dropout and the like switched off; afterwards every
    module has the mode that it had, also after an error or Ctrl-C.
    """

    @functools.wraps(function)
    def switched(model, *arguments, **keywords):
        modes = {module: module.training for module in model.modules()}
        model.eval()
        try:
            return function(model, *arguments, **keywords)
        finally:
            for module, training in modes.items():
                module.training = training

    return switched


def _without_padding(input_ids, attention_mask):
    """Rows whose padding is gone, but for what the longest row makes necessary, on the
    left: ids and bool mask (B, L), the mask None if nothing is left to hide.
    """
    if attention_mask.shape != input_ids.shape:
        raise ValueError(
            f"attention_mask has the shape {tuple(attention_mask.shape)}, input_ids "
            f"{tuple(input_ids.shape)}; give 1 or 0 for each id"
        )
    real = attention_mask.bool()
    lengths = real.sum(dim=1)
    if not lengths.all():
        raise ValueError(
            f"row {int(lengths.argmin())} of attention_mask has 0 tokens, generation "
            "needs at least 1; start it with a token such as [CLS]"
        )
    # a stable sort moves padding to the left and keeps the order of the tokens
    order = real.int().argsort(dim=1, stable=True)[:, -int(lengths.max()) :]
    real = real.gather(1, order)
    return input_ids.gather(1, order), None if real.all() else real


def _whole_logits(model, input_ids, attention_mask=None):
    """Logits (B, V) behind the last token of each row, from any causal model."""
    if attention_mask is None:
        return model(input_ids).logits[:, -1]
    # padding behind the tokens: positions count from 0 in whatever way the model counts
    order = (~attention_mask).int().argsort(dim=1, stable=True)
    logits = model(
        input_ids.gather(1, order), attention_mask=attention_mask.gather(1, order).int()
    ).logits
    last = attention_mask.sum(dim=1) - 1
    return logits[torch.arange(len(last), device=last.device), last]


def _only(logits, written, stopped, allowed):
    """Logits (B, V) with -inf at every token that may not follow."""
    keep = torch.zeros_like(logits, dtype=torch.bool)
    for row, ids in enumerate(written):
        keep[row, slice(None) if stopped[row] else allowed(row, ids)] = True
    return logits.masked_fill(~keep, float("-inf"))


@torch.no_grad()
@in_eval_mode  # with dropout on, the same seed would not give the same text
def generate(
    model,
    input_ids,
    max_new_tokens,
    *,
    attention_mask=None,
    temperature=1.0,
    k=None,
    p=None,
    seed=None,
    stop=None,
    cached=True,
    allowed=None,
):
    """Write on: (B, T) ids -> (B, T + max_new_tokens) or fewer, if every row has come
    to the id `stop`.

    attention_mask: (B, T), 1 for tokens and 0 for padding, which may stand on either
        side: each row gets the text that it gets alone, behind its T ids. None: there
        is no padding, whatever the ids are.
    seed: of the draws; None takes torch's global generator. A row that has stopped is
        filled with `stop`.
    allowed: allowed(row, ids), the ids that may follow the row's new ones, a list; None
        leaves all. A row that has stopped is not asked.
    cached=False reads the whole text for each token; it gives the same ids and takes
    any causal model with `.logits`. Raises ValueError if the text would outgrow the
    model, for a row without a token, a negative id or number of new tokens, and for a
    model that the cache does not know; TypeError for ids that are no LongTensor.
    """
    config, given = model.config, input_ids
    if not isinstance(given, torch.Tensor) or given.numel():
        check_ids(given)
    if not hasattr(max_new_tokens, "__index__") or max_new_tokens < 0:
        raise ValueError(
            f"max_new_tokens is {max_new_tokens}; ask for a whole number of tokens, 0 "
            "or more"
        )
    if cached and not (getattr(config, "causal", False) and config.pre_norm):
        raise ValueError(
            f"cached=True needs a causal pre-norm LanguageModel of transformer.py, and "
            f"this {type(model).__name__} is none; pass cached=False"
        )
    mask = torch.ones_like(given) if attention_mask is None else attention_mask
    input_ids, mask = _without_padding(given, mask)
    longest = input_ids.shape[1]
    most = getattr(config, "max_tokens", None) or getattr(
        config, "n_positions", math.inf
    )
    if longest + max_new_tokens > most:
        raise ValueError(
            f"{longest} tokens and {max_new_tokens} new ones are more "
            f"than the {most} the model reads; "
            f"ask for {max(most - longest, 0)} or fewer"
        )
    generator = (
        None if seed is None else torch.Generator(input_ids.device).manual_seed(seed)
    )
    cache, new = [], input_ids
    stopped = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
    for _ in range(max_new_tokens):
        logits = (
            cached_logits(model, new, cache, mask)
            if cached
            else _whole_logits(model, input_ids, mask)
        )
        if allowed is not None:
            logits = _only(logits, input_ids[:, longest:].tolist(), stopped, allowed)
        new = sample_token(logits, temperature, k, p, generator)[:, None]  # (B, 1)
        if stop is not None:
            new = new.masked_fill(stopped[:, None], stop)
            stopped = stopped | (new[:, 0] == stop)
        input_ids = torch.cat([input_ids, new], dim=1)
        if mask is not None:  # what is new is no padding
            mask = torch.cat([mask, torch.ones_like(new, dtype=torch.bool)], dim=1)
        if stop is not None and bool(stopped.all()):
            break
    return torch.cat([given, input_ids[:, longest:]], dim=1)


@torch.no_grad()
@in_eval_mode
def document_nll(model, documents, window, stride=None):
    """(sum of nats, number of targets) over `documents`, lists (or 1-D tensors) of ids
    of any length, without padding. Perplexity is exp(sum / number).

    A document longer than `window` is read in windows that start `stride` apart (None:
    window // 2). Each token but the first of a document is a target once, in the first
    window that holds it; what overlaps is context. Sums are added, never means: a mean
    of the documents' means would give the words of short documents more weight.
    Raises ValueError for a window below 2, a stride that leaves gaps and no document,
    TypeError for a document that is no list of ids.
    """
    if window < 2:
        raise ValueError(
            f"window is {window}; a target needs a token before it, so take 2 or more"
        )
    total, targets, row = 0.0, 0, -1
    stride = window // 2 if stride is None else stride
    if not 0 < stride < window:
        raise ValueError(
            f"stride {stride} leaves gaps between windows of {window} "
            f"tokens; take 1 to {window - 1}"
        )
    device = next(model.parameters()).device
    for row, ids in enumerate(documents):
        if isinstance(ids, str) or not getattr(ids, "ndim", hasattr(ids, "__len__")):
            raise TypeError(
                f"document {row} is {repr(ids)[:40]}, not a list of token ids; encode "
                "the texts first, and put a single document in a list, [ids]"
            )
        done = 1  # nothing stands before the first token
        for begin in range(0, len(ids), stride):
            batch = causal_batch(
                torch.as_tensor(ids[begin : begin + window], device=device)[None]
            )
            batch["labels"][:, : done - begin] = -100  # targets of a window before
            total = total + float(clm_loss(model, batch))
            targets = targets + int((batch["labels"] != -100).sum())
            done = begin + window
            if done >= len(ids):
                break
    if row < 0:
        raise ValueError(
            "there are 0 documents; an iterator gives them once, so make it anew"
        )
    return total, targets
