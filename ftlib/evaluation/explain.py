"""Which tokens an answer hangs on: gradients, attention, removal, and a test of whether
the explanation is faithful.

Use it:

    >>> # a "model" whose logits are sums over tokens
    >>> class Counter(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.tokens = torch.nn.Embedding(9, 2)
    ...
    ...     def forward(self, input_ids, attention_mask=None):
    ...         return self.tokens(input_ids).sum(1)
    >>> model, ids = Counter(), torch.tensor([[1, 2, 3]])
    >>> blank = torch.zeros_like(ids)
    >>> parts = integrated_gradients(model, model.tokens, ids, blank, log_odds, steps=4)
    >>> difference = log_odds(model(ids)) - log_odds(model(blank))
    >>> torch.testing.assert_close(parts.sum(), difference[0].detach())
    >>> # [CLS] and [SEP] stay
    >>> deletions([101, 7, 8, 102], [0, 0.2, 0.9, 0], counts=[0, 1], fixed={0, 3})
    [[101, 7, 8, 102], [101, 7, 102]]

What it is not: a proof that the model reasons as a person would. It says which inputs
move the output. Needs: torch, scipy. Attention and heads: models whose attention layers
have `qkv`, `heads` and `out`, as ftlib/models/transformer.py.

Shapes: B batch, T tokens, D width, L layers, H heads, C classes.
"""

import contextlib
import copy
import functools
import warnings

import torch
from scipy.stats import ConstantInputWarning, spearmanr


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


def log_odds(logits):
    """(B, 2) -> (B,): logit of class 1 minus logit of class 0."""
    return logits[:, 1] - logits[:, 0]


def _logits(output):
    return getattr(output, "logits", output)


@contextlib.contextmanager
def _vectors_replaced(embedding, vectors):
    """Inside, the embedding gives `vectors` whatever ids it is asked for."""
    handle = embedding.register_forward_hook(lambda module, ids, output: vectors)
    try:
        yield
    finally:
        handle.remove()


@in_eval_mode
def integrated_gradients(
    model, embedding, input_ids, baseline_ids, score=log_odds, steps=32
):
    """What each token adds to the score on the way from the baseline to the text
    (Sundararajan et al. 2017) -> (T,).

    embedding: the layer of `model` that makes vectors of tokens. input_ids,
    baseline_ids: (1, T), one text without padding and one that says nothing, such as
    [MASK] everywhere. The parts sum to score(text) - score(baseline) as `steps` grows.
    """
    with torch.no_grad():
        text, blank = embedding(input_ids), embedding(baseline_ids)  # (1, T, D)
    # the middle of each of `steps` equal pieces of the way
    at = (torch.arange(steps, device=text.device) + 0.5) / steps
    way = (blank + at[:, None, None] * (text - blank)).requires_grad_()
    with torch.enable_grad(), _vectors_replaced(embedding, way):
        total = score(_logits(model(input_ids.expand(steps, -1)))).sum()
    (gradient,) = torch.autograd.grad(total, way)
    return ((text - blank) * gradient.mean(dim=0)).sum(dim=-1)[0]


@in_eval_mode
def input_times_gradient(model, embedding, input_ids, score=log_odds):
    """One gradient in place of a whole way: vector times gradient of each token ->
    (T,).
    """
    with torch.no_grad():
        vectors = embedding(input_ids)
    vectors.requires_grad_()
    with torch.enable_grad(), _vectors_replaced(embedding, vectors):
        total = score(_logits(model(input_ids))).sum()
    (gradient,) = torch.autograd.grad(total, vectors)
    return (vectors.detach() * gradient).sum(dim=-1)[0]


def attention_received(attention_weights):
    """How much each token is looked at, averaged over layers, heads and queries:
    (L, B, H, T, T) -> (B, T). Rows without padding.
    """
    return attention_weights.mean(dim=(0, 2, 3))


def attention_rollout(attention_weights):
    """Attention followed through the layers, half of each being the residual (Abnar and
    Zuidema 2020): (L, B, H, T, T) -> (B, T), averaged over the last layer's queries.
    """
    layers = attention_weights.mean(dim=2)  # (L, B, T, T)
    identity = torch.eye(layers.shape[-1], device=layers.device)
    way = identity.expand_as(layers[0])
    for layer in layers:
        way = (layer + identity) / 2 @ way
    return way.mean(dim=1)


def without_each(row, fixed=()) -> list[list[int]]:
    """The rows that lack one token each, for the positions that are not `fixed`:
    score(row) - score(each) is what that token was worth (occlusion, Li et al. 2016).
    """
    return [row[:i] + row[i + 1 :] for i in range(len(row)) if i not in fixed]


def deletions(row, relevance, counts, fixed=()) -> list[list[int]]:
    """The row with its most relevant tokens deleted, as many as `counts` says.

    relevance: a number a token. fixed: positions that stay, such as those of [CLS] and
    [SEP]. A faithful explanation makes the score fall faster than deleting at random.
    """
    free = [i for i in range(len(row)) if i not in fixed]
    order = sorted(free, key=lambda i: -float(relevance[i]))
    removed = [set(order[:count]) for count in counts]
    return [[t for i, t in enumerate(row) if i not in r] for r in removed]


@contextlib.contextmanager
def ablated_head(model, layer, head):
    """Inside, one attention head of `model` gives zeros (Michel et al. 2019).

    layer, head: numbers from 0. Raises ValueError for a head that is not there.
    """
    layers = [m for m in model.modules() if hasattr(m, "qkv") and hasattr(m, "heads")]
    if not (0 <= layer < len(layers) and 0 <= head < layers[layer].heads):
        raise ValueError(
            f"layer {layer}, head {head}: the model has {len(layers)} layers with "
            f"{layers[0].heads if layers else 0} heads; count from 0"
        )
    attention = layers[layer]

    def zero_head(module, inputs):
        (y,) = inputs  # (..., D), the heads side by side
        width = y.shape[-1] // attention.heads
        y = y.clone()
        y[..., head * width : (head + 1) * width] = 0
        return (y,)

    handle = attention.out.register_forward_pre_hook(zero_head)
    try:
        yield model
    finally:
        handle.remove()


def randomised(model, modules=None, seed=0):
    """A copy of the model in which every matrix has its numbers shuffled: same values,
    nothing learned (the sanity check of Adebayo et al. 2018).

    modules: shuffle only inside modules whose name begins with one of these. An
    explanation that stays as it was does not explain this model.
    """
    changed = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    starts = ("",) if modules is None else tuple(modules)
    with torch.no_grad():
        for name, p in changed.named_parameters():
            if p.ndim > 1 and name.startswith(starts):
                order = torch.randperm(p.numel(), generator=generator)
                p.copy_(p.flatten()[order.to(p.device)].view_as(p))
    return changed


def spearman(a, b) -> float:
    """Spearman's correlation of two lists of numbers; NaN where one is constant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        return float(spearmanr(a, b).statistic)
