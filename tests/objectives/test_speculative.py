"""Speculative decoding: greedy text as plain decoding writes it, drawn text with the
target's distribution, and a cache that reads each token once.
"""

import collections
import itertools

import pytest
import torch
from scipy import stats

from ftlib.course import hub
from ftlib.models import hf_format, transformer
from ftlib.objectives import clm, speculative


def net(seed=0, scale=0.2, **changes):
    """A causal model with weights so large that every part shows in the logits."""
    torch.manual_seed(seed)
    sizes = dict(vocab_size=50, width=32, layers=3, heads=4, ffn_dim=64, max_tokens=40)
    config = transformer.Config(**{**sizes, "causal": True, **changes})
    made = transformer.LanguageModel(config).eval()
    for p in made.parameters():
        p.data = torch.randn(p.shape) * scale
    return made


def prompts(count, tokens, vocab=50, seed=1):
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(vocab, (count, tokens), generator=draw).tolist()


@pytest.fixture(scope="module")
def writer():
    return transformer.from_state(*hf_format.load(hub.resolve("reviews-gpt-mini")))


# --- the cache


def test_the_cache_gives_the_logits_of_the_model():
    model, reader = net(), speculative.Cached(net())
    text = prompts(1, 20)[0]
    other = [*text[:9], 3, 4, 5, 6]
    # from the beginning, on, on by several, and back behind a refused proposal
    for ids, count in ((text[:5], 1), (text[:6], 1), (text[:12], 4), (other, 3)):
        with torch.no_grad():
            wanted = model(torch.tensor([ids])).logits[0, -count:]
        torch.testing.assert_close(reader(ids, count), wanted, atol=1e-4, rtol=1e-4)


def test_the_cache_reads_only_what_is_new():
    reader, text = speculative.Cached(net()), prompts(1, 20)[0]
    for ids, count, read in (
        (text[:10], 1, 10),
        (text[:11], 1, 1),
        (text[:14], 3, 3),
        ([*text[:12], 1, 2], 2, 2),  # the same length, another end
        ([*text[:12], 1, 2], 1, 1),  # the same text: its last logits are made again
    ):
        before = reader.read
        reader(ids, count)
        assert reader.read - before == read
        assert all(k.shape[1] == len(ids) for k, _ in reader.cache)


def test_a_cache_that_keeps_refused_proposals_is_caught(mutated, counted):
    """Planted: the kept ids are not compared, only counted."""
    careless = mutated(speculative, "if old != new:", "if False:").Cached(net())
    text = prompts(1, 20)[0]
    other = [*text[:9], 3, 4, 5, 6]
    careless(text, 1)
    with torch.no_grad():
        wanted = net()(torch.tensor([other])).logits[0, -1]
    assert (careless(other, 1)[0] - wanted).abs().max() > 1e-2
    counted("fault")


def test_an_early_exit_is_the_model_of_its_first_blocks():
    model, text = net(), prompts(1, 9)[0]
    early = speculative.Cached(model, layers=1)(text)
    model.encoder.blocks = model.encoder.blocks[:1]
    with torch.no_grad():
        wanted = model(torch.tensor([text])).logits[0, -1:]
    torch.testing.assert_close(early, wanted, atol=1e-4, rtol=1e-4)


# --- greedy


@pytest.mark.parametrize("k", (1, 4))
def test_greedy_text_is_that_of_plain_decoding(k):
    """20 prompts, two drafts that are often refused, and one that never is."""
    model = net()
    drafts = (
        speculative.Cached(net(seed=9)),
        speculative.Cached(model, layers=2),
        speculative.Cached(model),
    )
    refused = collections.Counter()
    for prompt in prompts(20, 6):
        wanted = clm.generate(model, torch.tensor([prompt]), 24, temperature=0)
        for n, draft in enumerate(drafts):
            ids, rounds = speculative.speculative(
                speculative.Cached(model), draft, prompt, 24, k=k, temperature=0
            )
            assert ids == wanted[0].tolist()
            assert sum(accepted + 1 for _, accepted in rounds) == 24
            refused[n] += sum(accepted < proposed for proposed, accepted in rounds)
    assert refused[0] > 100 and refused[1] > 20 and refused[2] == 0


def test_the_course_model_writes_the_same_with_a_counted_draft(writer):
    rows = torch.tensor(prompts(40, 64, vocab=200))
    draft = speculative.NGram(rows, writer.config.vocab_size)
    for prompt in prompts(20, 5, vocab=8000, seed=3):
        plain = clm.generate(writer, torch.tensor([prompt]), 16, temperature=0)
        target = speculative.Cached(writer)
        ids, rounds = speculative.speculative(target, draft, prompt, 16, temperature=0)
        assert ids == plain[0].tolist()
        # the prompt once, each pass its proposals and the token before them
        assert target.read == len(prompt) + sum(p + 1 for p, _ in rounds) - 1


# --- drawn: the distribution is the target's


TINY = dict(vocab_size=4, width=8, layers=1, heads=2, ffn_dim=16, max_tokens=8)


def exact(model, prompt, tokens, temperature):
    """{continuation: probability}, every one of them enumerated."""
    found = {}
    for continuation in itertools.product(range(4), repeat=tokens):
        ids = torch.tensor([[*prompt, *continuation]])
        with torch.no_grad():
            logits = model(ids).logits[0, len(prompt) - 1 : -1].double()
        log_p = (logits / temperature).log_softmax(-1)
        log_p = log_p[range(tokens), list(continuation)].sum()
        found[continuation] = float(log_p.exp())
    return found


def p_value(speculative, tokens=2, k=4, temperature=1.0, samples=3000):
    """Of a chi-squared test: drawn continuations against the target's own."""
    model, draft = net(3, 0.5, **TINY), net(8, 0.5, **TINY)
    wanted = exact(model, [1, 2], tokens, temperature)
    torch.manual_seed(0)
    drawn = collections.Counter()
    target, proposer = speculative.Cached(model), speculative.Cached(draft)
    for _ in range(samples):
        ids, _ = speculative.speculative(
            target, proposer, [1, 2], tokens, k=k, temperature=temperature
        )
        drawn[tuple(ids[2:])] += 1
    # rare continuations together, so that no cell expects fewer than five
    common = [c for c in wanted if samples * wanted[c] >= 5]
    counts = [drawn[c] for c in common]
    shares = [wanted[c] for c in common]
    if len(common) < len(wanted):
        counts.append(samples - sum(counts))
        shares.append(1 - sum(shares))
    assert len(common) > 8
    return stats.chisquare(counts, [samples * s / sum(shares) for s in shares]).pvalue


@pytest.mark.parametrize(
    "settings",
    (dict(), dict(k=1), dict(temperature=0.7), dict(tokens=3, k=2), dict(k=0)),
)
def test_drawn_text_has_the_distribution_of_the_target(settings):
    assert p_value(speculative, **settings) > 0.01


WRONG_RULES = {
    "refused ones are drawn from p": (
        "rest = (rest - q[accepted]).clamp(min=0)",
        "rest = rest",
    ),
    "every proposal is accepted": (
        "if torch.rand((), generator=generator) * q[accepted][x] >= p[accepted, x]:",
        "if False:",
    ),
    "accepted with the target's probability": (" * q[accepted][x] >= p", " >= p"),
    "what is left over of the draft": (
        "(rest - q[accepted])",
        "(q[accepted] - rest)",
    ),
}


@pytest.mark.parametrize("name", WRONG_RULES)
def test_another_rule_has_another_distribution(name, mutated, counted):
    assert p_value(mutated(speculative, *WRONG_RULES[name])) < 1e-6
    counted("fault")


def test_a_draft_that_is_the_target_is_always_accepted():
    model = net()
    target, draft = speculative.Cached(model), speculative.Cached(model)
    _, rounds = speculative.speculative(target, draft, [1, 2, 3], 20, k=4, seed=0)
    assert rounds == [(4, 4)] * 4 and speculative.acceptance(rounds) == 1
    _, rounds = speculative.speculative(target, draft, [1, 2, 3], 3, k=4, seed=0)
    assert rounds == [(2, 2)]  # no proposal beyond what is asked for


def test_the_same_seed_draws_the_same_text():
    def text(seed, k=3):
        target, draft = speculative.Cached(net()), speculative.Cached(net(seed=9))
        return speculative.speculative(target, draft, [5], 20, k=k, seed=seed)

    assert text(1) == text(1) != text(2)
    assert len(text(1)[0]) == 21 and text(1, k=0)[1] == [(0, 0)] * 20


# --- counts and formulas


def test_counted_runs_by_hand():
    rows = torch.tensor([[0, 1, 2, 0, 1], [0, 1, 1, 2, 2]])
    draft = speculative.NGram(rows, vocab_size=4, order=3, strength=2.0)
    one = (torch.tensor([3.0, 4.0, 3.0, 0.0]) + 2 / 4) / (10 + 2)
    torch.testing.assert_close(draft([]).exp(), one[None])
    # behind 1: 2, 1, 2; the last token of a row has nothing behind it
    two = (torch.tensor([0.0, 1.0, 2.0, 0.0]) + 2 * one) / (3 + 2)
    torch.testing.assert_close(draft([1]).exp(), two[None])
    # behind 0, 1: 2, 1
    three = (torch.tensor([0.0, 1.0, 1.0, 0.0]) + 2 * two) / (2 + 2)
    torch.testing.assert_close(draft([3, 0, 1]).exp(), three[None])
    # a run that was not met leaves the guess of the shorter one
    torch.testing.assert_close(draft([3, 1]).exp(), two[None])
    both = draft([3, 0, 1], 2)
    torch.testing.assert_close(both, torch.cat([draft([3, 0]), draft([3, 0, 1])]))


def test_the_formulas():
    assert speculative.expected_tokens(0, 4) == 1
    assert speculative.expected_tokens(1, 4) == 5
    assert abs(speculative.expected_tokens(0.5, 2) - (1 - 0.5**3) / 0.5) < 1e-12
    # every draft that costs nothing pays, and one as slow as the target never does
    assert speculative.speed_up(0.1, 4, 0) > 1 > speculative.speed_up(1, 4, 1, 1.1)
    # 3 of 4 checked: what stands behind a refused proposal was not
    assert speculative.acceptance([(4, 2), (1, 1)]) == 0.75


def test_the_formula_meets_a_draft_that_is_right_with_alpha():
    """One distribution at every position, so each proposal has the same chance."""
    p, q = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]).log()

    def always(row):
        return lambda ids, count: row.expand(count, 3)

    alpha = float(torch.minimum(p.exp(), q.exp()).sum())
    _, rounds = speculative.speculative(always(p), always(q), [0], 6000, k=3, seed=0)
    assert abs(speculative.acceptance(rounds) - alpha) < 0.02
    assert abs(6000 / len(rounds) - speculative.expected_tokens(alpha, 3)) < 0.06


# --- what is refused


def encoder():
    config = transformer.Config(20, 16, 1, 2, 32, 8, pre_norm=False)
    return transformer.LanguageModel(config)


@pytest.mark.parametrize(
    "call, words",
    (
        (lambda: speculative.Cached(encoder()), "is no causal pre-norm"),
        (lambda: speculative.Cached(net())([], 1), "1 logits behind 0 ids"),
        (lambda: speculative.Cached(net())([1] * 41), "behind 41 ids"),
        (lambda: speculative.Cached(net())([1, 2], 3), "3 logits behind 2 ids"),
        (lambda: speculative.speculative(None, None, [], 3), "0 ids"),
        (lambda: speculative.speculative(None, None, [1], -1), "max_new_tokens=-1"),
        (lambda: speculative.speculative(None, None, [1], 3, k=-1), "k=-1"),
        (
            lambda: speculative.speculative(None, None, [1], 3, temperature=-1.0),
            "temperature=-1.0",
        ),
        (lambda: speculative.NGram(torch.zeros(3).long(), 5, order=0), "order is 0"),
        (lambda: speculative.NGram(torch.zeros(3).long(), 8000, order=5), "64 bits"),
        (lambda: speculative.acceptance([(0, 0)]), "no proposal was checked in 1"),
    ),
)
def test_what_cannot_be_used_is_refused(call, words, counted):
    with pytest.raises(ValueError, match=words):
        call()
    counted("fault")
