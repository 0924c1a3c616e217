"""Causal language modelling: the shift, sampling, the cache and perplexity, against
transformers and by hand.
"""

import math
import types

import pytest
import torch
import torch.nn.functional as F

from ftlib.evaluation import metrics
from ftlib.models import hf_format, lora, transformer
from ftlib.objectives import clm
from ftlib.training import train

SIZES = dict(
    vocab_size=50, width=32, layers=3, heads=4, ffn_dim=64, max_tokens=24, causal=True
)


# the token that reaches p goes, too
WRONG_NUCLEUS = (
    "after = before + ordered.softmax(-1); "
    "dropped = (after >= p).scatter(-1, order, after >= p); "
    "dropped[:, order[0, 0]] = False"
)


def net(seed=0, **changes):
    """A causal model with weights so large that every part shows in the logits."""
    torch.manual_seed(seed)
    made = transformer.LanguageModel(transformer.Config(**{**SIZES, **changes})).eval()
    for p in made.parameters():
        p.data = torch.randn(p.shape) * 0.2
    return made


def ids(rows=3, tokens=12, seed=1):
    return torch.randint(
        5, 50, (rows, tokens), generator=torch.Generator().manual_seed(seed)
    )


def test_the_loss_is_that_of_transformers(tmp_path, counted):
    from transformers import AutoModelForCausalLM

    ours = net()
    hf_format.save(ours, tmp_path, half=False)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    mask = torch.ones(3, 12, dtype=torch.long)
    mask[1, 7:] = 0
    for batch in (clm.causal_batch(ids()), clm.causal_batch(ids(), mask)):
        asked = int((batch["labels"] != -100).sum())
        wanted = theirs(**batch).loss.item()
        assert asked == (33 if "attention_mask" not in batch else 28)
        assert abs(clm.clm_loss(ours, batch).item() / asked - wanted) < 1e-5
        # any model with .logits
        assert abs(clm.clm_loss(theirs, batch).item() / asked - wanted) < 1e-5
        # the control: labels that are not shifted ask for what stands in the input
        same_place = F.cross_entropy(
            ours(batch["input_ids"]).logits.flatten(0, 1),
            batch["labels"].flatten(),
            reduction="mean",
        )
        assert abs(same_place.item() - wanted) > 1e-3
    counted("fault", 2)


def test_the_loop_counts_what_the_loss_asks():
    ours = net()
    step = next(
        train.steps(
            ours,
            [clm.causal_batch(ids())],
            clm.clm_loss,
            torch.optim.SGD(ours.parameters(), 0.1),
        )
    )
    assert step.targets == 33 and step.tokens == 36
    assert (
        abs(step.loss * 33 - clm.clm_loss(net(), clm.causal_batch(ids())).item()) < 1e-3
    )


def test_top_k_and_top_p_by_hand():
    logits = torch.tensor([[0.5, 0.25, 0.15, 0.1], [0.1, 0.2, 0.3, 0.4]]).log()
    kept = lambda t: t.exp().gt(0).tolist()  # noqa: E731
    assert kept(clm.keep_top_k(logits, 1)) == [
        [True, False, False, False],
        [False, False, False, True],
    ]
    assert kept(clm.keep_top_k(logits, 9)) == [[True] * 4] * 2
    assert kept(clm.keep_top_p(logits, 0.6)) == [
        [True, True, False, False],
        [False, False, True, True],
    ]
    assert kept(clm.keep_top_p(logits, 0.01)) == [
        [True, False, False, False],
        [False, False, False, True],
    ]
    assert kept(clm.keep_top_p(logits, 1.0)) == [[True] * 4] * 2


def test_top_k_and_top_p_equal_transformers():
    from transformers import TopKLogitsWarper, TopPLogitsWarper

    logits = torch.randn(8, 50, generator=torch.Generator().manual_seed(3)) * 2
    for k in (1, 3, 50):
        assert torch.equal(clm.keep_top_k(logits, k), TopKLogitsWarper(k)(None, logits))
    for p in (0.05, 0.5, 0.9):
        assert torch.equal(clm.keep_top_p(logits, p), TopPLogitsWarper(p)(None, logits))


def kept_by_hand(logits, p):
    """The fewest likeliest tokens that together reach p, one after the other."""
    probabilities, kept, mass = logits.double().softmax(-1), set(), 0.0
    for token in probabilities.argsort(descending=True).tolist():
        if mass >= p:
            break
        mass += probabilities[token].item()
        kept.add(token)
    return kept


def wrong_nuclei(clm=clm):
    """How many of 200 random rows keep other tokens than the definition says, and of
    3 whose probabilities are all alike, so that some of them reach p exactly.
    """
    generator, wrong = torch.Generator().manual_seed(7), 0
    rows = torch.randn(200, 1, 20, generator=generator) * 2
    ps = torch.rand(200, generator=generator) * 0.98 + 0.01
    for logits, p in zip(rows, ps.tolist()):
        kept = clm.keep_top_p(logits, p)[0].isfinite().nonzero().flatten()
        wrong += set(kept.tolist()) != kept_by_hand(logits[0], p)
    # two of four reach a half, and the third is not needed
    alike = torch.zeros(1, 4)
    at_edge = [int(clm.keep_top_p(alike, p).isfinite().sum()) for p in (0.25, 0.5, 1.0)]
    return wrong + sum(a != b for a, b in zip(at_edge, (1, 2, 4)))


def test_top_p_keeps_the_token_that_reaches_p_and_none_after_it():
    from transformers import TopPLogitsWarper

    assert wrong_nuclei() == 0
    for p in (0.25, 0.5, 0.75, 1.0):
        theirs = TopPLogitsWarper(p)(None, torch.zeros(1, 4))
        ours = clm.keep_top_p(torch.zeros(1, 4), p)
        assert ours.isfinite().sum() == theirs.isfinite().sum()


@pytest.mark.parametrize(
    "old, new",
    [
        ("dropped = (before >= p).scatter(-1, order, before >= p)", WRONG_NUCLEUS),
        (
            "dropped = (before >= p).scatter(-1, order, before >= p)",
            "dropped = (before > p).scatter(-1, order, before > p)",
        ),
        (".scatter(-1, order, before >= p)", ""),
        ("(descending=True)", "(descending=False)"),
    ],
    ids=["drops it", "keeps one more", "another order", "unlikely ones"],
)
def test_another_nucleus_is_caught(old, new, mutated, counted):
    assert wrong_nuclei(mutated(clm, old, new)) > 0
    counted("fault")


def test_draws_follow_the_probabilities():
    logits = torch.tensor([0.6, 0.3, 0.1]).log().expand(20_000, 3)
    generator = torch.Generator().manual_seed(0)
    share = (
        torch.bincount(clm.sample_token(logits, generator=generator), minlength=3)
        / 20_000
    )
    assert (share - torch.tensor([0.6, 0.3, 0.1])).abs().max() < 0.015
    cold = (
        torch.bincount(
            clm.sample_token(logits, temperature=0.5, generator=generator), minlength=3
        )
        / 20_000
    )
    wanted = torch.tensor([0.36, 0.09, 0.01]) / 0.46  # p ** (1 / 0.5), normalised
    assert (cold - wanted).abs().max() < 0.015
    assert set(clm.sample_token(logits, k=2, p=0.99, generator=generator).tolist()) == {
        0,
        1,
    }
    assert clm.sample_token(logits, temperature=0).eq(0).all()


@pytest.mark.parametrize(
    "bad", [dict(temperature=-1), dict(k=0), dict(p=0.0), dict(p=1.5)]
)
def test_settings_that_cannot_draw_are_refused(bad):
    with pytest.raises(
        ValueError, match="take temperature >= 0, k >= 1 and 0 < p <= 1"
    ):
        clm.sample_token(torch.zeros(1, 3), **bad)


@pytest.mark.parametrize("changes", [{}, {"gelu_tanh": True}, {"layers": 1}])
def test_the_cache_gives_the_logits_of_the_whole_text(changes, counted):
    ours, text, cache = net(**changes), ids(), []
    with torch.no_grad():
        whole = ours(text).logits
        for a, b in ((0, 5), (5, 6), (6, 9), (9, 12)):  # several at once, one at a time
            got = clm.cached_logits(ours, text[:, a:b], cache)
            assert (got - whole[:, b - 1]).abs().max() < 1e-4
        assert len(cache) == ours.config.layers and cache[0][0].shape == (3, 4, 12, 8)
        # the control: without what was read before, the same token gets other logits
        assert (
            clm.cached_logits(ours, text[:, 11:], []) - whole[:, 11]
        ).abs().max() > 0.1
    counted("fault")


@pytest.mark.parametrize(
    "how",
    [dict(temperature=0), dict(temperature=0.8, k=10, seed=4), dict(p=0.9, seed=5)],
    ids=str,
)
def test_with_and_without_cache_the_same_text(how):
    ours = net()
    a, b = (
        clm.generate(ours, ids(), 10, cached=cached, **how) for cached in (True, False)
    )
    assert torch.equal(a, b) and a.shape == (3, 22) and torch.equal(a[:, :12], ids())


def test_greedy_equals_transformers(tmp_path):
    from transformers import AutoModelForCausalLM

    ours = net()
    hf_format.save(ours, tmp_path, half=False)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    wanted = theirs.generate(
        ids(),
        attention_mask=torch.ones_like(ids()),
        max_new_tokens=10,
        do_sample=False,
        pad_token_id=0,
    )
    assert torch.equal(clm.generate(ours, ids(), 10, temperature=0), wanted)
    assert torch.equal(
        clm.generate(theirs, ids(), 10, temperature=0, cached=False), wanted
    )


def test_generate_stops_and_refuses():
    ours = net().train()
    free = clm.generate(ours, ids(2), 12, temperature=0)
    stop = int(free[0, 14])
    text = clm.generate(ours, ids(2), 12, temperature=0, stop=stop)
    first = free[0, 12:].tolist().index(stop)
    assert (text[0, 12 + first :] == stop).all() and ours.training
    assert (
        clm.generate(ours, ids(1), 12, temperature=0, stop=stop).shape[1] == 13 + first
    )
    with pytest.raises(
        ValueError,
        match="12 tokens and 13 new ones are more than the "
        "24 the model reads; ask for 12 or fewer",
    ):
        clm.generate(ours, ids(), 13)
    # exactly as many as it reads, and the widest settings that can draw
    assert clm.generate(ours, ids(), 12, seed=0).shape == (3, 24)
    assert clm.generate(ours, ids(), 2, k=1, p=1.0).shape == (3, 14)
    a, b = (clm.generate(ours, ids(), 8, seed=seed) for seed in (1, 2))
    assert torch.equal(a, clm.generate(ours, ids(), 8, seed=1)) and not torch.equal(
        a, b
    )


def test_nats_of_uneven_documents(counted):
    ours = net()
    documents = [ids(1, n, seed=n)[0].tolist() for n in (2, 7, 20)]
    total, asked = clm.document_nll(ours, documents, window=24)
    by_hand = [
        clm.clm_loss(ours, clm.causal_batch(torch.tensor([d]))).item()
        for d in documents
    ]
    assert asked == 1 + 6 + 19 and abs(total - sum(by_hand)) < 1e-3
    # the control: the mean of the documents' means is another number
    mean_of_means = sum(nats / (len(d) - 1) for nats, d in zip(by_hand, documents)) / 3
    assert abs(mean_of_means - total / asked) > 0.01
    assert metrics.perplexity(total / asked) == pytest.approx(math.exp(total / asked))
    assert clm.document_nll(ours, [[7]], window=24) == (0.0, 0)
    counted("fault")


def test_documents_are_read_without_dropout(mutated, counted):
    ours, quiet = net(dropout=0.5).train(), net()
    ours.encoder.blocks[1].eval()  # a part that its owner keeps still
    modes = [module.training for module in ours.modules()]
    documents = [ids(1, n, seed=n)[0].tolist() for n in (7, 20)]
    wanted = clm.document_nll(quiet, documents, window=8)
    assert clm.document_nll(ours, documents, window=8) == wanted
    assert [module.training for module in ours.modules()] == modes
    old = "@in_eval_mode\ndef document_nll"
    noisy = mutated(clm, old, old.removeprefix("@in_eval_mode\n"))
    assert noisy.document_nll(ours, documents, window=8)[0] != wanted[0]
    counted("fault")


class Bare(torch.nn.Module):
    """A model that gives these logits (B, T, V), and nothing else."""

    def __init__(self, logits):
        super().__init__()
        self.scores = torch.nn.Parameter(logits)

    def forward(self, input_ids, attention_mask=None):
        return types.SimpleNamespace(logits=self.scores)


def loss_of_bfloat16(clm=clm):
    """The loss of logits as autocast leaves them, and what float32 makes of them."""
    logits = torch.randn(3, 12, 50, generator=torch.Generator().manual_seed(0)) * 4
    model = Bare(logits.bfloat16())
    wanted = F.cross_entropy(
        model.scores[:, :-1].float().flatten(0, 1), ids()[:, 1:].flatten()
    )
    return clm.clm_loss(model, clm.causal_batch(ids())), 33 * wanted


def test_the_loss_of_bfloat16_logits_is_made_in_float32(mutated, counted):
    loss, wanted = loss_of_bfloat16()
    assert loss.dtype == torch.float32 and abs(loss / wanted - 1) < 1e-6
    for old, new in (
        (".flatten(0, 1).float(), labels", ".flatten(0, 1), labels"),
        (', reduction="sum"\n', ', reduction="sum", label_smoothing=0.1\n'),
    ):
        loss, wanted = loss_of_bfloat16(mutated(clm, old, new))
        assert abs(loss / wanted - 1) > 1e-4
        counted("fault")


@pytest.mark.parametrize("stride", [1, 3, 7, None])
def test_each_token_of_a_long_document_is_asked_once(stride):
    ours, text = net(max_tokens=8), ids(1, 21)[0].tolist()
    total, asked = clm.document_nll(ours, [text], window=8, stride=stride)
    wanted, step, done = 0.0, stride or 4, 1
    # each token with the context of the first window that holds it
    for begin in range(0, 21, step):
        logp = ours(torch.tensor([text[begin : begin + 8]])).logits[0].log_softmax(-1)
        for place in range(max(done, begin + 1), min(begin + 8, 21)):
            wanted -= logp[place - 1 - begin, text[place]].item()
        done = max(done, begin + 8)
    assert asked == 20 and abs(total - wanted) < 1e-3
    with pytest.raises(
        ValueError,
        match="stride 8 leaves gaps between windows of 8 tokens; take 1 to 7",
    ):
        clm.document_nll(ours, [text], window=8, stride=8)


# ---- padding ----

SIDES = {  # 1 for a token: three rows of 12, 5 and 1 or 4 tokens
    "right": [(0, 12), (0, 5), (0, 1)],
    "left": [(0, 12), (7, 12), (11, 12)],
    "both": [(0, 12), (3, 8), (9, 10)],
    "no row is full": [(2, 9), (6, 11), (3, 4)],
}


def rows_with_padding(side, pad_id=0):
    """(ids, mask, the rows alone)."""
    full, mask = ids(), torch.zeros(3, 12, dtype=torch.long)
    for row, (begin, end) in enumerate(SIDES[side]):
        mask[row, begin:end] = 1
    alone = [full[row : row + 1, a:b] for row, (a, b) in enumerate(SIDES[side])]
    return full.masked_fill(mask == 0, pad_id), mask, alone


@pytest.mark.parametrize("kind", [torch.long, torch.bool, torch.float32], ids=str)
def test_no_token_behind_padding_alone_is_a_target(kind):
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [0] * 5])
    given = torch.arange(5, 25).view(4, 5)
    batch = clm.causal_batch(given, mask.to(kind))
    assert (batch["labels"] != -100).tolist() == [
        [False, False, False, True, True],
        [False, True, True, False, False],
        [False, False, False, False, True],
        [False] * 5,
    ]
    assert batch["position_ids"].tolist() == [
        [0, 0, 0, 1, 2],
        [0, 1, 2, 2, 2],
        [0, 0, 0, 1, 2],
        [0] * 5,
    ]
    assert torch.equal(batch["input_ids"], given)
    assert given[0, 0] == 5  # labels are a copy


@pytest.mark.parametrize("adapter", [False, True], ids=["plain", "lora"])
@pytest.mark.parametrize("side", SIDES)
def test_the_loss_of_padded_rows_is_that_of_the_rows(side, adapter, tmp_path, counted):
    from transformers import AutoModelForCausalLM

    ours = net()
    padded, mask, alone = rows_with_padding(side)
    hf_format.save(ours, tmp_path, half=False)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    if adapter:
        lora.add(ours, ["qkv", "out", "up", "down"], 2)
        for layer in ours.modules():
            if isinstance(layer, lora.LoRALinear):
                layer.B.data.normal_(std=0.1)
    batch = clm.causal_batch(padded, mask)
    targets = int((batch["labels"] != -100).sum())
    assert targets == sum(row.shape[1] - 1 for row in alone)
    rows = sum(clm.clm_loss(ours, clm.causal_batch(row)).item() for row in alone)
    assert abs(clm.clm_loss(ours, batch).item() - rows) < 1e-4 * rows
    documents = [row[0] for row in alone]  # tensors do as well as lists
    nll = clm.document_nll(ours, documents, window=24)
    assert nll[1] == targets and abs(nll[0] - rows) < 1e-4 * rows
    mean = metrics.mean_loss(ours, [batch], clm.clm_loss)
    assert abs(mean - rows / targets) < 1e-4 * mean
    if not adapter:
        assert abs(theirs(**batch).loss.item() - rows / targets) < 1e-4
    # the control: columns instead of positions are other texts where padding is left
    batch.pop("position_ids")
    by_column = clm.clm_loss(ours, batch).item()
    assert (abs(by_column - rows) > 1e-3) is (side != "right")
    counted("fault")


@pytest.mark.parametrize("pad_id", [0, 7])
@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("side", SIDES)
def test_each_padded_prompt_gets_the_text_that_it_gets_alone(
    side, cached, pad_id, counted
):
    ours = net()
    padded, mask, alone = rows_with_padding(side, pad_id)
    how = dict(temperature=0, cached=cached)
    text = clm.generate(ours, padded, 10, attention_mask=mask, **how)
    assert text.shape == (3, 22) and torch.equal(text[:, :12], padded)
    for row, prompt in enumerate(alone):
        wanted = clm.generate(ours, prompt, 10, **how)[0, prompt.shape[1] :]
        assert torch.equal(text[row, 12:], wanted)
    # the mask may be of any kind
    for kind in (torch.bool, torch.float32):
        again = clm.generate(ours, padded, 10, attention_mask=mask.to(kind), **how)
        assert torch.equal(again, text)
    # the control: without a mask padding is read as text
    unmasked = clm.generate(ours, padded, 10, **how)
    assert not torch.equal(unmasked[:, 12:], text[:, 12:])
    counted("fault")


@pytest.mark.parametrize("adapter", [False, True], ids=["plain", "lora"])
@pytest.mark.parametrize("side", SIDES)
def test_drawn_texts_of_padded_prompts_are_equal_with_and_without_cache(side, adapter):
    ours = net()
    if adapter:
        lora.add(ours, ["qkv", "up"], 2)
        for layer in ours.modules():
            if isinstance(layer, lora.LoRALinear):
                layer.B.data.normal_(std=0.1)
    padded, mask, _ = rows_with_padding(side)
    how = dict(attention_mask=mask, temperature=0.8, k=10, seed=4)
    a, b = (clm.generate(ours, padded, 10, cached=c, **how) for c in (True, False))
    assert torch.equal(a, b)


def test_prompts_padded_left_give_the_texts_of_transformers(tmp_path):
    from transformers import AutoModelForCausalLM

    ours = net()
    hf_format.save(ours, tmp_path, half=False)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    padded, mask, _ = rows_with_padding("left")
    wanted = theirs.generate(
        padded,
        attention_mask=mask,
        max_new_tokens=10,
        do_sample=False,
        pad_token_id=0,
    )
    how = dict(attention_mask=mask, temperature=0)
    assert torch.equal(clm.generate(ours, padded, 10, **how), wanted)
    # any model with .logits, by the mask alone
    got = clm.generate(theirs, padded, 10, cached=False, **how)
    assert torch.equal(got, wanted)


def test_padded_prompts_stop_and_reach_as_far_as_the_longest():
    ours = net()
    padded, mask, alone = rows_with_padding("no row is full")
    how = dict(attention_mask=mask, temperature=0)
    # 7 of 12 columns are text in the longest row, and 17 more fit
    free = clm.generate(ours, padded, 17, **how)
    assert free.shape == (3, 29)
    with pytest.raises(ValueError, match="7 tokens and 18 new ones.*ask for 17"):
        clm.generate(ours, padded, 18, **how)
    stop = int(free[1, 14])
    text = clm.generate(ours, padded, 17, stop=stop, **how)
    for row in range(3):
        new = free[row, 12:].tolist()
        end = new.index(stop) if stop in new else len(new)
        assert text[row, 12 : 12 + end].tolist() == new[:end]
        assert (text[row, 12 + end :] == stop).all()
    assert torch.equal(clm.generate(ours, padded, 0, attention_mask=mask), padded)


def test_masks_that_say_nothing_are_refused(counted):
    ours, given = net(), ids()
    mask = torch.ones_like(given)
    mask[1] = 0
    with pytest.raises(ValueError, match="row 1 of attention_mask has 0 tokens"):
        clm.generate(ours, given, 2, attention_mask=mask)
    with pytest.raises(ValueError, match=r"the shape \(3, 11\), input_ids \(3, 12\)"):
        clm.generate(ours, given, 2, attention_mask=mask[:, 1:])
    with pytest.raises(ValueError, match="has 0 tokens, generation needs at least 1"):
        clm.generate(ours, given[:, :0], 2)
    counted("fault", 3)


@pytest.mark.parametrize(
    "changes",
    [dict(causal=False), dict(pre_norm=False), dict(causal=False, segments=2)],
)
def test_a_model_that_the_cache_does_not_know_is_refused(changes):
    ours = net(**changes)
    with pytest.raises(ValueError, match="cached=True needs a causal pre-norm"):
        clm.generate(ours, ids(), 2)
    assert clm.generate(ours, ids(), 2, cached=False).shape == (3, 14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_cache_reads_prompts_padded_left(dtype, counted):
    ours = net().to(dtype)
    padded, mask, alone = rows_with_padding("left")
    near = 1e-4 if dtype == torch.float32 else 0.05
    with torch.no_grad():
        wanted = torch.cat([ours(prompt).logits[:, -1] for prompt in alone])
        # at once, and the last token by itself
        for cuts in ((0, 12), (0, 11, 12)):
            cache = []
            for a, b in zip(cuts, cuts[1:]):
                got = clm.cached_logits(ours, padded[:, a:b], cache, mask[:, :b])
            assert (got - wanted).abs().max() < near
        # the control: padding that is read
        assert (clm.cached_logits(ours, padded, []) - wanted).abs().max() > near
    counted("fault")


# ---- what is no input ----


@pytest.mark.parametrize(
    "given, error, words",
    [
        (
            [ids().float()],
            TypeError,
            "input_ids are torch.float32, token ids are a Long",
        ),
        ([ids().int()], TypeError, "input_ids are torch.int32, token ids are a Long"),
        ([ids().tolist()], TypeError, "input_ids are list, .* write torch.tensor"),
        ([ids()[:0]], ValueError, r"the shape \(0, 12\), .* at least 1 row of 1 token"),
        ([ids()[:, :0]], ValueError, r"the shape \(3, 0\), .* at least 1 row of 1"),
        (
            [ids()[0]],
            ValueError,
            r"the shape \(12,\), .* write ids\[None\] for a single",
        ),
        (
            [ids().fill_(-100)],
            ValueError,
            "have -100 among them, .* and not the labels",
        ),
        # one row's mask for all of them: other rows lost or kept what was not theirs
        (
            [ids(), torch.ones(1, 12)],
            ValueError,
            r"attention_mask has the shape \(1, 12\), input_ids \(3, 12\); give",
        ),
        ([ids(), torch.ones(3, 11)], ValueError, r"\(3, 11\), input_ids \(3, 12\)"),
        ([ids(), [[1] * 12] * 3], ValueError, "the shape list, input_ids"),
        # added to the scores by other libraries: 0 is a token there
        (
            [ids(), torch.full((3, 12), -1e9)],
            ValueError,
            r"values from -1e\+09 to -1e\+09, 1 for a token and 0 for padding",
        ),
        ([ids(), torch.full((3, 12), 0.5)], ValueError, "values from 0.5 to 0.5"),
    ],
)
def test_what_is_no_batch_is_refused(given, error, words, counted):
    with pytest.raises(error, match=words):
        clm.causal_batch(*given)
    counted("fault")


@pytest.mark.parametrize(
    "call, error, words",
    [
        # all of the text would be given back, and nothing written
        (dict(max_new_tokens=-3), ValueError, "max_new_tokens is -3; ask for a whole"),
        (dict(max_new_tokens=2.5), ValueError, "max_new_tokens is 2.5; ask for"),
        (
            dict(input_ids=ids()[0]),
            ValueError,
            r"the shape \(12,\), \(B, T\) is needed",
        ),
        (
            dict(input_ids=ids().float()),
            TypeError,
            "input_ids are torch.float32, token",
        ),
        (
            dict(input_ids=ids().tolist()),
            TypeError,
            "input_ids are list, token ids are",
        ),
        (dict(input_ids=-ids()), ValueError, "among them, token ids begin at 0"),
    ],
)
def test_what_cannot_be_continued_is_refused(call, error, words, counted):
    settings = {"input_ids": ids(), "max_new_tokens": 2, **call}
    with pytest.raises(error, match=words):
        clm.generate(net(), **settings)
    counted("fault")


SCORES = torch.tensor([[3.0, 2.0, 1.0, 0.0]])


@pytest.mark.parametrize(
    "call, error, words",
    [
        # 90 for 90 %: everything stayed; 0: nothing, and NaN after softmax
        (lambda: clm.keep_top_p(SCORES, 90), ValueError, "p=90; .* 0 < p <= 1"),
        (lambda: clm.keep_top_p(SCORES, 0.0), ValueError, "p=0.0; .* 0 < p <= 1"),
        (lambda: clm.keep_top_p(SCORES, float("nan")), ValueError, "p=nan; "),
        (lambda: clm.keep_top_k(SCORES, 0), ValueError, "k=0, .* k >= 1"),
        (lambda: clm.keep_top_k(SCORES, 1.5), TypeError, "k is 1.5; it counts tokens"),
        (
            lambda: clm.keep_top_k(SCORES[0], 2),
            ValueError,
            r"shape \(4,\), \(B, V\) is",
        ),
        # a whole text's logits: greedy gave an id for each position
        (
            lambda: clm.sample_token(SCORES[None], temperature=0),
            ValueError,
            r"the shape \(1, 1, 4\), \(B, V\) is needed; take the last position",
        ),
        (lambda: clm.sample_token(SCORES[0]), ValueError, r"write logits\[None\]"),
        (lambda: clm.sample_token(SCORES[:0]), ValueError, r"the shape \(0, 4\)"),
        (
            lambda: clm.sample_token(SCORES, temperature=float("nan")),
            ValueError,
            "temperature=nan, k=None, p=None; take temperature >= 0",
        ),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(call, error, words, counted):
    with pytest.raises(error, match=words):
        call()
    counted("fault")


@pytest.mark.parametrize(
    "documents, how, error, words",
    [
        # 0 was taken for None
        ([[7] * 9], dict(stride=0), ValueError, "stride 0 leaves gaps between windows"),
        ([[7] * 9], dict(window=1), ValueError, "window is 1; .* take 2 or more"),
        ([7] * 9, {}, TypeError, r"document 0 is 7, .* in a list, \[ids\]"),
        (torch.arange(9), {}, TypeError, "document 0 is tensor.*, not a list of token"),
        (["a film"], {}, TypeError, "document 0 is 'a film', not a list of token ids"),
        ([[0.5, 1.5]], {}, TypeError, "input_ids are torch.float32, token ids are a"),
        ([], {}, ValueError, "there are 0 documents; an iterator gives them once"),
    ],
)
def test_documents_that_cannot_be_read_are_refused(
    documents, how, error, words, counted
):
    with pytest.raises(error, match=words):
        clm.document_nll(net(), documents, **{"window": 8, **how})
    counted("fault")
