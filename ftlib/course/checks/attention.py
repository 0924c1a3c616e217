"""Checks of chapter 06: causal attention, the padding mask of a batch, heads, a bias on
the scores, and a broken snippet.

>>> from ftlib.course.checks.attention import check_causal_attention
>>> check_causal_attention(
...     lambda q, k, v: (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v
... )
hint: every token sees the whole row; mask the scores of later tokens before the softmax

What it is not: a test of speed. Answers and their gradients are compared in float64
within 1e-9, and the causal test bit by bit. Needs: torch, ftlib.

Shapes: B batch, H heads, T queries, S keys, K head width, D width.
"""

import inspect
import math
import types

import torch

from ftlib.course.checks import correct, exercise, expect, forbid
from ftlib.models import attention

HIDE = float("-inf")


def drawn(*shape, seed=0):
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def near(got, other):
    """Whether two tensors agree; False for NaN, which equals nothing."""
    return got.shape == other.shape and bool(
        torch.allclose(got.double(), other, rtol=0, atol=1e-9)
    )


def names_in(answer):
    """The names that a function's own code reads, inner functions included."""
    answer = inspect.unwrap(answer)
    code = getattr(answer, "__code__", None) or getattr(
        getattr(type(answer), "__call__", None), "__code__", None
    )
    results, todo = set(), [code] if code else []
    while todo:
        code = todo.pop()
        results.update(code.co_names)
        todo += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return results


def expect_own_code(answer, names, instead):
    """Refuse an answer that names one of these functions, wherever they come from."""
    for name in sorted(names & names_in(answer)):
        expect(False, f"your function calls {name}; {instead}")


def expect_gradients(answer, reference, inputs):
    """Refuse an answer that nothing can be trained through, or that gives its inputs
    ({name: tensor}) other gradients than `right`.
    """
    results = []
    for function in (answer, reference):
        given = {k: x.detach().clone().requires_grad_() for k, x in inputs.items()}
        with torch.enable_grad():
            out = function(*given.values())
            expect(
                out.requires_grad,
                "the numbers are correct, but the result is detached, so nothing can "
                "be trained through it; use no detach(), item(), numpy() or no_grad()",
            )
            (out * drawn(*out.shape, seed=9).to(out)).sum().backward()
        results.append({k: x.grad for k, x in given.items()})
    for name, expected in results[1].items():
        got = results[0][name]
        expect(
            got is not None and near(got, expected),
            f"the numbers are correct, but {name} gets "
            f"{'no gradient' if got is None else 'another gradient'}; no part of the "
            "way from it to the result may be detached",
        )


def expect_cases(answer, reference, cases):
    """Compare with `right` on cases [(what is special, inputs, hint)], result's type
    included.
    """
    for what, inputs, advice in cases:
        got, expected = answer(*inputs), reference(*inputs)
        expect(
            got.shape == expected.shape,
            f"{what} the shape is {tuple(got.shape)}, expected "
            f"{tuple(expected.shape)}; {advice}",
        )
        expect(
            bool(expected.isnan().any()) or not bool(got.isnan().any()),
            f"{what} the result contains NaN; {advice}",
        )
        wide = 1e-9 if expected.dtype == torch.float64 else 1e-5
        expect(
            torch.allclose(got.double(), expected.double(), rtol=wide, atol=wide),
            f"{what} the result differs from the expected one by "
            f"{float((got.double() - expected.double()).abs().max()):.2g}; {advice}",
        )
        expect(
            got.dtype == expected.dtype,
            f"{what} the result has dtype {got.dtype}, expected {expected.dtype}; "
            "keep the dtype of v",
        )


def qkv(B, H, T, K, S=None, size=1.0, dtype=torch.float64):
    """q (B, H, T, K), k and v (B, H, S, K)."""
    shapes = [(B, H, n, K) for n in (T, S or T, S or T)]
    q, k, v = (drawn(*shape, seed=i + 20).to(dtype) for i, shape in enumerate(shapes))
    return q * size, k * size, v


def strided(x):
    """The same numbers, not contiguous: as they come out of a transpose."""
    return x.transpose(-1, -2).contiguous().transpose(-1, -2)


OWN = {"attend", "scaled_dot_product_attention", "MultiHeadAttention"}
FORBIDDEN = (
    "ftlib.models.attention.attend",
    "torch.nn.functional.scaled_dot_product_attention",
    "torch.nn.functional.multi_head_attention_forward",
)
OVERFLOW = (
    "large scores must not overflow or be seen behind the mask: mask with minus "
    "infinity, and softmax() subtracts the largest score before exp"
)


def mixed(q, k, v, may=None, scale=None, dim=-1, fill=HIDE):
    """Attention with whatever mistake the arguments make."""
    scores = q @ k.transpose(-1, -2) * (k.shape[-1] ** -0.5 if scale is None else scale)
    scores = scores if may is None else scores.masked_fill(~may, fill)
    return scores.softmax(dim) @ v


def _expect_scores(got, q, k, v, may, bias=0.0):
    """The mistakes of scale and axis that any form of attention may have."""

    def plain(scale, dim=-1):
        scores = q @ k.transpose(-1, -2) * scale + bias
        return (scores if may is None else scores.masked_fill(~may, HIDE)).softmax(
            dim
        ) @ v

    K = k.shape[-1]
    expect(
        not near(got, plain(1.0)),
        "the scores are not scaled; divide by sqrt(K), or wide heads start with a "
        "saturated softmax that has no gradient",
    )
    expect(
        not near(got, plain(1 / K)),
        "the scores are divided by K; divide by its square root",
    )
    expect(
        not near(got, plain(math.sqrt(K))),
        "the scores are multiplied by sqrt(K); divide by it",
    )
    expect(
        not near(got, plain(k.shape[-2] ** -0.5)),
        "the scores are divided by the square root of the number of keys; divide by "
        "that of the width K of one key, k.shape[-1]",
    )
    for scale in (K**-0.5, 1.0):
        wrong = plain(scale, dim=-2)
        expect(
            not torch.allclose(
                got.nan_to_num().double(), wrong.nan_to_num(), atol=1e-9
            ),
            "the softmax runs over the queries; the weights of each query must add "
            "up to 1 over the keys: dim=-1",
        )


@exercise
def check_causal_attention(answer):
    """answer(q, k, v), all (B, H, T, K) -> (B, H, T, K), where token t attends to
    tokens 0 to t.
    """
    q, k, v = (drawn(2, 3, 7, 5, seed=i) for i in range(3))
    may, ones = attention.causal_mask(7), torch.ones(7, 7, dtype=torch.bool)
    instead = "write the scores, the mask and the softmax out"
    expect_own_code(answer, OWN, instead)
    with forbid(*FORBIDDEN, instead=instead):
        got = answer(q.clone(), k.clone(), v.clone())
    expected = attention.attend(q, k, v, may)
    expect(
        tuple(got.shape) == (2, 3, 7, 5),
        f"the shape is {tuple(got.shape)}, expected that of v: (2, 3, 7, 5)",
    )
    expect(
        not near(got, mixed(q, k, v)) and not near(got, mixed(q, k, v, scale=1.0)),
        "every token sees the whole row; mask the scores of later tokens before the "
        "softmax",
    )
    itself = mixed(q, k, v, ones.tril(-1))
    expect(
        not near(got[:, :, 1:], itself[:, :, 1:]),
        "a token does not see itself, and the first one sees nothing; keep the "
        "diagonal: tril()",
    )
    expect(
        not bool(got.isnan().any()),
        "the result contains NaN, because 0 * -inf is NaN; use masked_fill or "
        "torch.where",
    )
    expect(
        not near(got, mixed(q, k, v, ones.tril(1))),
        "each token also sees the next one, which is its target; tril() is enough",
    )
    expect(
        not near(got, mixed(q, k, v, ones.triu())),
        "tokens attend to the future and not to the past; use tril, or mask triu(1)",
    )
    for scale in (5**-0.5, 1.0):
        weights = (q @ k.transpose(-1, -2) * scale).softmax(-1) * may
        expect(
            not near(got, weights @ v),
            "weights are set to 0 after the softmax, so rows no longer add up to 1; "
            "mask the scores before it",
        )
    expect(
        not near(got, mixed(q, k, v, may, fill=0.0)),
        "masked scores are 0, and exp(0) is 1; only a score of minus infinity gives "
        "the weight 0",
    )
    _expect_scores(got, q, k, v, may)
    expect(
        near(got, expected),
        "the outputs differ from the expected ones by "
        f"{(got - expected).abs().max():.2g}; compare with attend()",
    )
    for t in range(1, 7):
        changed = [x.clone() for x in (q, k, v)]
        for x in changed:
            x[:, :, t] = 3 * x[:, :, t] + 1
        same = torch.equal(answer(*changed)[:, :, :t], got[:, :, :t])
        expect(
            same,
            f"a change of token {t} alters earlier outputs in the last bits: masked "
            "scores still enter the softmax's denominator; mask them before the "
            "softmax instead of normalizing again after it",
        )
    cases = [
        ("for one token", qkv(2, 1, 1, 5), "it sees itself"),
        ("for (1, 2, 9, 3)", qkv(1, 2, 9, 3), "sizes come from q"),
        ("for (3, 2, 4, 11)", qkv(3, 2, 4, 11), "sizes come from q"),
        ("in float32", qkv(2, 2, 6, 5, dtype=torch.float32), "make no float64 of it"),
        ("for inputs out of a transpose", [*map(strided, (q, k, v))], "use reshape"),
        ("for scores of many thousands", qkv(2, 2, 6, 5, size=300.0), OVERFLOW),
    ]

    def reference(q, k, v):
        return mixed(q, k, v, attention.causal_mask(q.shape[-2]))

    expect_cases(answer, reference, cases)
    expect_gradients(answer, reference, dict(q=q, k=k, v=v))
    return correct("no output before t changes by a single bit when token t changes")


def _expect_padding(answer):
    """Compare on drawn batches: any vocabulary and pad_id, padding on either side."""
    g = torch.Generator().manual_seed(0)
    for seed in range(40):
        B, T, H = (int(torch.randint(1, 7, (), generator=g)) for _ in range(3))
        pad_id = int(torch.randint(0, 12, (), generator=g)) if seed % 4 else 50256
        ids = torch.randint(0, 12, (B, T), generator=g)
        ids[ids == pad_id] = 12
        lengths = torch.randint(1, T + 1, (B, 1), generator=g)
        position = torch.arange(T) if seed % 2 else torch.arange(T - 1, -1, -1)
        ids = ids.masked_fill(position >= lengths, pad_id)
        full = answer(ids.clone(), pad_id).expand(B, H, T, T)
        keys = (ids != pad_id)[:, None, None, :].expand(B, H, T, T)
        side = "right" if seed % 2 else "left"
        expect(
            torch.equal(full, keys),
            f"the ids {ids[0].tolist()} with pad_id={pad_id} get the mask "
            f"{full[0, 0, 0].int().tolist()}; padding stands on the {side} there, and "
            "every id but pad_id is a token, larger or smaller",
        )


@exercise
def check_batch_mask(answer):
    """answer(input_ids (B, T), pad_id) -> bool that broadcasts to (B, H, T, T), True
    where a query may attend.
    """
    B, H, T = 3, 2, 6
    for pad_id in (0, 7):
        ids = torch.full((B, T), pad_id)
        for row, length in enumerate((6, 4, 1)):
            ids[row, :length] = torch.tensor([5, 8, 9, 0 if pad_id else 3, 6, 4])[
                :length
            ]
        got = answer(ids.clone(), pad_id)
        keys = (ids != pad_id)[:, None, None, :].expand(B, H, T, T)
        expect(
            got.dtype == torch.bool,
            f"the mask has dtype {got.dtype}; return a bool, because SDPA adds a mask "
            "of numbers to the scores",
        )
        try:
            full = got.expand(B, H, T, T)
        except RuntimeError:
            full = None
        expect(
            full is not None,
            f"the shape {tuple(got.shape)} does not broadcast to (B, H, T, T) = "
            f"{(B, H, T, T)}; (B, 1, 1, T) does",
        )
        expect(
            not torch.equal(full, ~keys),
            "True and False are exchanged; True means that a query may attend to the "
            "key",
        )
        expect(
            not torch.equal(full, keys.transpose(-1, -2)),
            "padding is masked as a query, and every query still sees it as a key; "
            "the keys are the last axis",
        )
        expect(
            not torch.equal(full, keys & keys.transpose(-1, -2)),
            "padding is masked as a query too, so its rows may attend to nothing; "
            "mask it as a key only",
        )
        expect(
            not torch.equal(full, keys & attention.causal_mask(T)),
            "the mask is also causal; mask padding only",
        )
        expect(
            not pad_id
            or not torch.equal(full, (ids != 0)[:, None, None, :].expand(B, H, T, T)),
            "the mask hides token 0; compare with pad_id, which is 7 in this batch",
        )
        expect(
            torch.equal(full, keys),
            "the mask differs from 'this key is not padding' at some position; "
            "compare ids with pad_id",
        )
    _expect_padding(answer)
    return correct("every query sees the text, and no query sees padding")


@exercise
def check_attend_in_heads(answer):
    """answer(q, k, v, heads) with q, k, v (B, T, D) -> (B, T, D): split,
    attend, join.
    """
    B, T, D, H = 2, 6, 12, 3
    q, k, v = (drawn(B, T, D, seed=i) for i in range(3))

    def reference(q, k, v, heads):
        parts = (attention.split_heads(x, heads) for x in (q, k, v))
        return attention.join_heads(attention.attend(*parts))

    instead = "split and join with view, transpose and reshape, or with chunk and cat"
    own = {"split_heads", "join_heads", "MultiHeadAttention"}
    expect_own_code(answer, own, instead)
    with forbid(
        "ftlib.models.attention.split_heads",
        "ftlib.models.attention.join_heads",
        "torch.nn.functional.multi_head_attention_forward",
        instead=instead,
    ):
        got = answer(q.clone(), k.clone(), v.clone(), H)
    parts = [attention.split_heads(x, H) for x in (q, k, v)]  # 3 x (B, H, T, K)
    y = attention.attend(*parts)
    expect(
        tuple(got.shape) != (B, H, T, D // H),
        "the heads are still apart; join them to (B, T, D)",
    )
    expect(
        tuple(got.shape) == (B, T, D),
        f"the shape is {tuple(got.shape)}, expected {(B, T, D)}",
    )
    expect(
        not near(got, attention.attend(q, k, v)),
        "this is one head of width D; split the vectors first",
    )
    mixing = [x.reshape(B, H, T, D // H) for x in (q, k, v)]
    for out in (
        attention.attend(*mixing).reshape(B, T, D),
        attention.join_heads(attention.attend(*mixing)),
    ):
        expect(
            not near(got, out),
            "view(B, H, T, K) at once mixes numbers of different tokens; view(B, T, "
            "H, K), then transpose(1, 2)",
        )
    expect(
        not near(got, y.reshape(B, T, D)),
        "joined without transpose(1, 2), so the rows of one head end up at other "
        "tokens; transpose first",
    )
    apart = [x.view(B, T, H, D // H) for x in (q, k, v)]
    expect(
        not near(got, attention.attend(*apart).reshape(B, T, D)),
        "the heads of one token attend to each other; use transpose(1, 2), so that "
        "the last two axes are (T, K)",
    )
    woven = [x.view(B, T, D // H, H).permute(0, 3, 1, 2) for x in (q, k, v)]
    expect(
        not near(got, attention.attend(*woven).permute(0, 2, 3, 1).reshape(B, T, D))
        and not near(got, attention.join_heads(attention.attend(*woven))),
        "each head gets every third feature; head h gets K consecutive ones: view(B, "
        "T, H, K)",
    )
    swapped = [attention.split_heads(x, D // H) for x in (q, k, v)]
    expect(
        not near(got, attention.join_heads(attention.attend(*swapped))),
        "there are K heads of H features; `heads` is the number of heads, K = D // "
        "heads their width",
    )
    expect(
        not near(got, attention.join_heads(attention.attend(*parts, scale=D**-0.5))),
        "the scores are divided by sqrt(D); a head has K features, so divide by "
        "sqrt(K)",
    )
    expect(
        not near(got, attention.join_heads(attention.attend(*parts, scale=1.0))),
        "the scores are not scaled; divide by sqrt(K)",
    )
    expect(
        near(got, attention.join_heads(y)),
        "the outputs differ from those of split, attend, join; print the shape after "
        "each step",
    )
    one = answer(q, k, v, 1)
    expect(
        near(one, attention.attend(q, k, v)),
        "with heads=1 the result must be plain attention; use the argument `heads`",
    )
    sizes = ((1, 5, 8, 4), (3, 4, 6, 6), (2, 1, 10, 2), (4, 3, 4, 2))
    cases = [
        (f"for (B, T, D) = {shape[:3]} and {shape[3]} heads", given, "B, T, D from q")
        for shape in sizes
        for given in [(*(x[:, 0] for x in qkv(shape[0], 1, *shape[1:3])), shape[3])]
    ]
    cases += [
        ("in float32", (q.float(), k.float(), v.float(), H), "make no float64 of it"),
        (
            "for inputs out of a transpose",
            (*map(strided, (q, k, v)), H),
            "use reshape where view raises",
        ),
    ]
    expect_cases(answer, reference, cases)
    expect_gradients(
        lambda q, k, v: answer(q, k, v, H),
        lambda q, k, v: reference(q, k, v, H),
        dict(q=q, k=k, v=v),
    )
    return correct(f"{H} heads of width {D // H}, and one head of width {D}")


@exercise
def check_biased_attention(answer):
    """answer(q (B, H, T, K), k, v (B, H, S, K), bias (T, S)) -> (B, H, T, K); bias is
    added to the scaled scores.
    """
    q, k, v = qkv(2, 3, 5, 7, 6)
    bias, scale = drawn(5, 6, seed=3), 7**-0.5
    instead = "write the scores, the bias and the softmax out"
    expect_own_code(answer, OWN, instead)
    with forbid(*FORBIDDEN, instead=instead):
        got = answer(q.clone(), k.clone(), v.clone(), bias.clone())
    scores = q @ k.transpose(-1, -2)
    expect(
        tuple(got.shape) == (2, 3, 5, 7),
        f"the shape is {tuple(got.shape)}, expected (2, 3, 5, 7)",
    )
    expect(
        not near(got, attention.attend(q, k, v)),
        "the bias has no effect; add it to the scores",
    )
    expect(
        not near(got, ((scores + bias) * scale).softmax(-1) @ v),
        "the bias is divided by sqrt(K) together with the scores; scale first, then "
        "add",
    )
    expect(
        not near(got, ((scores * scale).softmax(-1) + bias) @ v),
        "the bias is added to the weights, after the softmax; rows no longer add up "
        "to 1",
    )
    expect(
        not near(got, (scores * scale * bias).softmax(-1) @ v),
        "the scores are multiplied by the bias; add it",
    )
    expect(
        not near(got, (scores * scale - bias).softmax(-1) @ v),
        "the bias is subtracted; add it",
    )
    expect(
        not near(got, (scores * scale + bias.exp()).softmax(-1) @ v)
        and not near(got, (scores * scale + bias.softmax(-1)).softmax(-1) @ v),
        "the bias went through exp or a softmax of its own; add it to the scores as "
        "it is",
    )
    _expect_scores(got, q, k, v, None, bias)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    expect(
        near(got, expected),
        "the outputs differ from those of SDPA with "
        f"attn_mask=bias by {(got - expected).abs().max():.2g}",
    )
    hiding = torch.zeros(5, 6, dtype=torch.float64)
    hiding[:, 4:] = HIDE
    expect(
        near(answer(q, k, v, hiding), attention.attend(q, k[:, :, :4], v[:, :, :4])),
        "a bias of minus infinity must mask a key completely",
    )
    one_way, far = drawn(4, 4, seed=4), torch.arange(4.0).double()
    cases = [
        ("for as many keys as queries", (*qkv(2, 2, 4, 3), one_way), "bias is (T, S)"),
        ("for one query and one head", (*qkv(1, 1, 1, 9, 4), far[None]), "q gives K"),
        (
            "for a bias of thousands",
            (*qkv(2, 3, 5, 7, 6), bias * 3000),
            "neither clamp it nor take exp without softmax(), which would overflow",
        ),
        (
            "in float32",
            [x.float() for x in (q, k, v, bias)],
            "make no float64 of it",
        ),
    ]

    def reference(q, k, v, bias):
        return (q @ k.transpose(-1, -2) * k.shape[-1] ** -0.5 + bias).softmax(-1) @ v

    expect_cases(answer, reference, cases)
    # a bias is learned in some models, so it needs a gradient too
    expect_gradients(answer, reference, dict(q=q, k=k, v=v, bias=bias))
    return correct("equal to SDPA, and a bias of minus infinity is a mask")


@exercise
def check_repaired_attention(answer):
    """Clinic. answer(q, k, v (B, T, K), mask (T, T) of 1.0 = may attend and 0.0 =
    masked) -> (B, T, K).
    """
    q, k, v = (drawn(3, 6, 5, seed=i) for i in range(3))
    mask = attention.causal_mask(6).double()
    got, may = answer(q.clone(), k.clone(), v.clone(), mask.clone()), mask.bool()
    expect(
        tuple(got.shape) == (3, 6, 5),
        f"the shape is {tuple(got.shape)}, expected (3, 6, 5)",
    )
    expect(
        not bool(got.isnan().all()),
        "everything is NaN, as in the snippet: 0 * -inf is NaN; use "
        "scores.masked_fill(mask == 0, float('-inf'))",
    )
    inverted = mixed(q, k, v, ~may)
    expect(
        not near(got[:, :-1], inverted[:, :-1]),
        "the mask is inverted; 1 is a position that may be seen",
    )
    expect(
        not bool(got.isnan().any()),
        "some rows are NaN; does every row keep a position it may attend to?",
    )
    for scale in (1.0, 5**-0.5):
        scores = q @ k.transpose(-1, -2) * scale
        name = "the scores are still not scaled, and " if scale == 1.0 else ""
        expect(
            not near(got, scores.softmax(-1) @ v),
            f"{name}nothing is masked; the mask has no effect",
        )
        expect(
            not torch.allclose(
                got, mixed(q, k, v, may, scale, fill=0.0), rtol=0, atol=1e-6
            ),
            f"{name}masked scores became 0 or nearly 0, and exp(0) is 1; fill with "
            "minus infinity",
        )
        expect(
            not near(got, (scores.softmax(-1) * mask) @ v),
            f"{name}weights are set to 0 after the softmax, so the future still "
            "enters the denominator; mask the scores before it",
        )
        hidden = scores.masked_fill(~may, HIDE)
        expect(
            not near(got, hidden.softmax(1) @ v),
            f"{name}the softmax runs over dim=1, the queries of (B, T, S); the keys "
            "are the last axis",
        )
        expect(
            not near(got, hidden.softmax(0) @ v.nan_to_num()),
            f"{name}the softmax runs over the batch; the keys are the last axis",
        )
    expect(
        not near(got, mixed(q, k, v, may, 1.0)),
        "mask and axis are correct; the third fault is left: nothing is divided by "
        "sqrt(K)",
    )
    expect(
        not near(got, mixed(q, k, v, may, 0.2)),
        "the scores are divided by K; divide by its square root",
    )
    expect(
        near(got, attention.attend(q, k, v, may)),
        "the outputs differ from attend(); repair mask, axis and scale one by one",
    )
    g = torch.Generator().manual_seed(1)
    holes = (torch.rand(6, 6, generator=g) < 0.5).double()
    holes.fill_diagonal_(1.0)
    cases = [
        (
            "for a mask that is not causal",
            (q, k, v, holes),
            "use the mask that is given, row by row: query first, key second",
        ),
        (
            "for (1, 4, 9)",
            (*(x[:, 0] for x in qkv(1, 1, 4, 9)), mask[:4, :4]),
            "K is q's",
        ),
        ("in float32", [x.float() for x in (q, k, v, mask)], "make no float64 of it"),
        (
            "for scores of many thousands",
            (*(x[:, 0] for x in qkv(2, 1, 6, 5, size=300.0)), mask),
            OVERFLOW,
        ),
    ]

    def reference(q, k, v, mask):
        return mixed(q, k, v, mask.bool())

    expect_cases(answer, reference, cases)
    expect_gradients(
        lambda q, k, v: answer(q, k, v, mask.clone()),
        lambda q, k, v: reference(q, k, v, mask),
        dict(q=q, k=k, v=v),
    )
    return correct(
        "scaled, masked before the softmax, and the weights of every query add up to "
        "1 over the keys"
    )
