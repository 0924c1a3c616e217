"""Speculative decoding (Leviathan et al. 2023): a cheap draft proposes tokens, and the
large model checks them in one pass and keeps its own distribution.

Use it:

    >>> rows = torch.tensor([[5, 6, 7, 8, 5, 6, 7, 8, 5, 6]])
    >>> counted = NGram(rows, vocab_size=10, order=2)
    >>> # the n-gram checks itself here; a target is Cached(model)
    >>> ids, rounds = speculative(counted, counted, [5], 8, k=3, temperature=0)
    >>> ids
    [5, 6, 7, 8, 5, 6, 7, 8, 5]
    >>> rounds  # (proposed, accepted) of each pass of the target
    [(3, 3), (3, 3)]
    >>> round(expected_tokens(0.8, 4), 2)  # a pass writes so many if 0.8 are accepted
    3.36

A target or draft is a function `logits(ids, count)`: the logits (count, V) behind the
last `count` of the ids, a list. `Cached(model)` is a causal language model with its
keys and values, `Cached(model, layers=1)` the same one left after the first block, and
`NGram` counts. What it is not: for batches, or a promise that it pays. See `speed_up`.
Needs: torch. `Cached` takes the pre-norm causal LanguageModel of transformer.py, whose
parts it calls by name.

Shapes: N tokens that are read, V vocabulary, H heads, K head width, D width.
"""

import functools
import inspect

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


class Cached:
    """A causal language model that reads one text and keeps its keys and values.

    layers: read with the first blocks alone, an early exit; None: with all of them.
    The model should be in eval mode. `read` counts the tokens that went through it.
    """

    def __init__(self, model, layers=None):
        config = model.config
        if not (getattr(config, "causal", False) and config.pre_norm):
            raise ValueError(
                f"this {type(model).__name__} is no causal pre-norm LanguageModel of "
                "transformer.py; pass a function logits(ids, count) of your own"
            )
        self.model, self.blocks = model, model.encoder.blocks[:layers]
        self.ids, self.cache, self.read = [], [], 0

    @torch.no_grad()
    def __call__(self, ids, count=1):
        """Logits (count, V) behind the last `count` of `ids`, a list.

        Only what is new is read. Where the text differs from the one before, as after
        a refused proposal, the keys and values from there on are dropped.
        """
        net, most = self.model.encoder, self.model.config.max_tokens
        if not 1 <= count <= len(ids) <= most:
            raise ValueError(
                f"{count} logits behind {len(ids)} ids are asked for, the model reads "
                f"1 to {most} ids; give more ids, or ask for fewer new ones"
            )
        kept = 0
        for old, new in zip(self.ids, ids[: len(ids) - count]):
            if old != new:
                break
            kept += 1
        device = net.tokens.weight.device
        N = len(ids) - kept
        mask = torch.ones(N, len(ids), dtype=torch.bool, device=device).tril(kept)
        new = torch.tensor(ids[kept:], device=device)
        x = net.tokens(new) + net.positions.weight[kept : len(ids)]  # (N, D)
        for layer, block in enumerate(self.blocks):
            qkv = block.attention.qkv(block.norm1(x))
            # 3 x (H, N, K)
            q, k, v = qkv.view(N, 3, self.model.config.heads, -1).permute(1, 2, 0, 3)
            if kept:
                k = torch.cat([self.cache[layer][0][:, :kept], k], dim=1)
                v = torch.cat([self.cache[layer][1][:, :kept], v], dim=1)
            self.cache[layer : layer + 1] = [(k, v)]  # (H, kept + N, K)
            y = F.scaled_dot_product_attention(q[None], k[None], v[None], mask)[0]
            x = x + block.attention.out(y.transpose(0, 1).flatten(1))
            x = x + block.down(block.gelu(block.up(block.norm2(x))))
        self.ids, self.read = list(ids), self.read + N
        return self.model.head(net.norm_out(x[-count:]))


class NGram:
    """Counted runs of tokens: p(token | the order - 1 tokens before it), smoothed
    towards shorter runs.

    rows (R, T) or 1-D: the ids that are counted; runs do not leave a row. strength: how
    many observations the shorter run's guess weighs.
    """

    def __init__(self, rows, vocab_size, order=3, strength=16.0):
        if order < 1 or vocab_size**order >= 2**63:
            raise ValueError(
                f"order is {order} with {vocab_size} tokens; take 1 or more, and no "
                "more than fit into 64 bits"
            )
        rows = torch.atleast_2d(rows)
        self.vocab_size, self.strength, self.counts = vocab_size, strength, []
        for n in range(1, order + 1):
            key = torch.zeros_like(rows[:, n - 1 :])
            for i in range(n):
                key = key * vocab_size + rows[:, i : rows.shape[1] - n + 1 + i]
            self.counts.append(key.flatten().unique(return_counts=True))

    def __call__(self, ids, count=1):
        """Logarithms of probabilities (count, V) behind the last `count` of `ids`."""
        behind = range(len(ids) - count + 1, len(ids) + 1)
        return torch.stack([self._after(ids[:end]) for end in behind]).log()

    def _after(self, ids):
        V = self.vocab_size
        p = torch.full((V,), 1 / V)
        for n, (keys, counts) in enumerate(self.counts[: len(ids) + 1]):
            before = 0  # the last n ids as one number
            for token in ids[len(ids) - n :]:
                before = before * V + token
            first, last = torch.searchsorted(
                keys, torch.tensor([before * V, (before + 1) * V])
            ).tolist()
            seen = counts[first:last].float()
            p = self.strength * p
            p[keys[first:last] - before * V] += seen
            p = p / (self.strength + seen.sum())
        return p


def probabilities(logits, temperature):
    """(N, V) -> (N, V). Temperature 0 puts everything on the likeliest token."""
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    return (logits.float() / temperature).softmax(-1)


def _check(given):
    ids, k, temperature = (given[name] for name in ("ids", "k", "temperature"))
    if len(ids) < 1 or given["max_new_tokens"] < 0 or k < 0 or not temperature >= 0:
        raise ValueError(
            f"{len(ids)} ids, max_new_tokens={given['max_new_tokens']}, k={k}, "
            f"temperature={temperature}; give at least 1 id, and no number below 0"
        )


@torch.no_grad()
@checked(_check)
def speculative(target, draft, ids, max_new_tokens, *, k=4, temperature=1.0, seed=None):
    """Write on as `target` would: (ids with the new ones, [(proposed, accepted)]), a
    list and one pair for each pass of the target.

    target, draft: functions logits(ids, count) -> (count, V), over one vocabulary.
    ids: a list. k: proposals a pass; 0 is plain decoding. seed: of all draws; None
        takes torch's global generator.
    A proposal x, drawn from the draft's q, is accepted with probability min(1, p(x) /
    q(x)). A refused one is replaced by a draw from max(0, p - q), and what follows it
    is dropped. Both together are a draw from the target's p (Leviathan et al. 2023,
    appendix A.1), so the draft changes the speed and never the distribution. At
    temperature 0 all of p is on one token, and the rule compares two likeliest tokens.
    Raises ValueError for no ids and for numbers below 0.
    """
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    ids, end, rounds = list(ids), len(ids) + max_new_tokens, []
    while len(ids) < end:
        text, q = list(ids), []
        # the target's pass adds one token of its own
        for _ in range(min(k, end - len(ids) - 1)):
            q += probabilities(draft(text, 1), temperature)
            text.append(int(torch.multinomial(q[-1], 1, generator=generator)))
        p = probabilities(target(text, len(q) + 1), temperature)  # (len(q) + 1, V)
        accepted = 0
        while accepted < len(q):
            x = text[len(ids) + accepted]
            if torch.rand((), generator=generator) * q[accepted][x] >= p[accepted, x]:
                break
            accepted += 1
        rest = p[accepted]
        if accepted < len(q):
            rest = (rest - q[accepted]).clamp(min=0)
        new = torch.multinomial(rest, 1, generator=generator).tolist()
        ids = text[: len(ids) + accepted] + new
        rounds.append((len(q), accepted))
    return ids, rounds


def acceptance(rounds):
    """The share of the checked proposals that were accepted. What stands behind a
    refused one was not checked.
    """
    accepted = sum(a for _, a in rounds)
    refused = sum(a < proposed for proposed, a in rounds)
    if accepted + refused == 0:
        raise ValueError(
            f"no proposal was checked in {len(rounds)} passes; take k of 1 or more"
        )
    return accepted / (accepted + refused)


def expected_tokens(alpha, k):
    """Tokens a pass if each proposal is accepted with probability alpha, whatever the
    others were: 1 + alpha + ... + alpha^k.
    """
    return float(sum(alpha**i for i in range(k + 1)))


def speed_up(alpha, k, draft_cost, pass_cost=1.0):
    """How many times as fast as plain decoding, by `expected_tokens`.

    draft_cost: time of one proposal, pass_cost: time of the target's pass over k + 1
        tokens, both in passes over one token. Leviathan et al. set pass_cost to 1.
    """
    return expected_tokens(alpha, k) / (k * draft_cost + pass_cost)
